// SPDX-License-Identifier: MIT
//
// The field names are read by src/bench and described in bench/README.md.
#include "report.h"

#include <stdio.h>

static double quantile_us(const struct histogram *histogram, double quantile) {
  return (double)histogram_quantile(histogram, quantile) * 1e-3;
}

// To the nanosecond, so that no two buckets have the same name.
static void print_buckets(const struct histogram *histogram) {
  const char *comma = "";
  printf(",\"buckets\":[");
  for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
    if (histogram->buckets[i] == 0) continue;
    printf("%s[%.3f,%llu]", comma, (double)histogram_middle(i) * 1e-3,
           (unsigned long long)histogram->buckets[i]);
    comma = ",";
  }
  putchar(']');
}

static void print_histogram(const char *name, const struct histogram *histogram, int with_buckets) {
  printf("\"%s\":{\"count\":%llu,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f",
         name, (unsigned long long)histogram->count, quantile_us(histogram, 0.50), quantile_us(histogram, 0.90),
         quantile_us(histogram, 0.99), quantile_us(histogram, 0.999), (double)histogram->max * 1e-3);
  if (with_buckets) print_buckets(histogram);
  printf("},");
}

// Text from strerror, from a proxy's reply and from literals of ours; quoted all the same, for the one odd character.
static void print_text(const char *name, const char *text) {
  printf("\"%s\":\"", name);
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') putchar('\\');
    if ((unsigned char)*text >= 0x20) putchar(*text);
  }
  printf("\",");
}

int report_print(const struct load_options *options, const struct load_result *result) {
  const struct client_totals *measured = &result->measured, *whole = &result->whole;
  const struct cpu_times *cpu = &result->cpu;
  double seconds = result->seconds > 0 ? result->seconds : 1e-9;
  uint64_t errors = totals_errors(whole);
  printf("{\"mode\":\"%s\",\"via\":\"%s\",\"connections\":%u,\"seconds\":%.6f,\"bytes\":%llu,"
         "\"gbps\":%.4f,\"operations\":%llu,\"perSecond\":%.1f,",
         options_mode_name(options->mode), options_via_name(options->via), options->connections,
         result->seconds, (unsigned long long)measured->bytes, (double)measured->bytes * 8e-9 / seconds,
         (unsigned long long)measured->operations, (double)measured->operations / seconds);
  print_histogram("latencyUs", &measured->latency, options->histogram);
  print_histogram("handshakeUs", &measured->handshake, options->histogram);
  if (options->mode == MODE_FETCH || options->mode == MODE_MIXED || options_http(options))
    print_histogram("responseUs", &measured->response, options->histogram);
  if (options_http(options)) {
    printf("\"fresh\":%llu,\"reopened\":%llu,\"lastSerial\":%llu,", (unsigned long long)measured->fresh,
           (unsigned long long)measured->reopened, (unsigned long long)whole->last_serial);
  }
  if (options->interface[0]) {
    printf("\"wire\":{\"segmentsOut\":%llu,\"segmentsIn\":%llu,\"bytesOut\":%llu,\"bytesIn\":%llu},",
           (unsigned long long)result->link.packets_out, (unsigned long long)result->link.packets_in,
           (unsigned long long)result->link.bytes_out, (unsigned long long)result->link.bytes_in);
  }
  printf("\"cpu\":{\"busy\":%.3f,\"user\":%.3f,\"system\":%.3f,\"softirq\":%.3f,\"irq\":%.3f,\"steal\":%.3f,"
         "\"idle\":%.3f,\"client\":%.3f,\"server\":%.3f,\"proxy\":%.3f,\"others\":%.3f},",
         cpu_busy(cpu), cpu->user, cpu->system, cpu->softirq, cpu->irq, cpu->steal, cpu->idle,
         cpu->trees[LOAD_TREE_CLIENT], cpu->trees[LOAD_TREE_SERVER], cpu->trees[LOAD_TREE_PROXY], cpu->others);
  printf("\"stalled\":%u,\"corrupt\":%llu,\"errors\":%llu,\"errorKinds\":{", result->stalled,
         (unsigned long long)whole->corrupt, (unsigned long long)errors);
  for (int i = 0; i < ERROR_COUNT; i++) {
    printf("%s\"%s\":%llu", i ? "," : "", client_error_names[i], (unsigned long long)whole->errors[i]);
  }
  printf("},");
  print_text("firstError", whole->first_error);
  int clean = errors == 0 && whole->corrupt == 0;
  printf("\"clean\":%s}\n", clean ? "true" : "false");
  return clean;
}
