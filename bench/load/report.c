// SPDX-License-Identifier: MIT
//
// The field names are read by compare.mjs and described in bench/README.md.
#include "report.h"

#include <stdio.h>

static void print_histogram(const char *name, const struct histogram *histogram) {
  const double us = 1e-3;
  printf("\"%s\":{\"count\":%llu,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f},", name,
         (unsigned long long)histogram->count, (double)histogram_quantile(histogram, 0.50) * us,
         (double)histogram_quantile(histogram, 0.90) * us, (double)histogram_quantile(histogram, 0.99) * us,
         (double)histogram->max * us);
}

// Text from strerror and from literals of ours; quoted all the same, for the one odd character.
static void print_text(const char *name, const char *text) {
  printf("\"%s\":\"", name);
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') putchar('\\');
    if ((unsigned char)*text >= 0x20) putchar(*text);
  }
  printf("\",");
}

int report_print(const struct load_options *options, const struct load_result *result) {
  const struct client_totals *totals = result->totals;
  const struct cpu_times *cpu = &result->cpu;
  double seconds = result->seconds > 0 ? result->seconds : 1e-9;
  uint64_t errors = 0;
  for (int i = 0; i < ERROR_COUNT; i++) errors += totals->errors[i];
  printf("{\"mode\":\"%s\",\"via\":\"%s\",\"connections\":%u,\"seconds\":%.6f,\"bytes\":%llu,"
         "\"gbps\":%.4f,\"operations\":%llu,\"perSecond\":%.1f,",
         options_mode_name(options->mode), options->via_socks5 ? "socks5" : "direct", options->connections,
         result->seconds, (unsigned long long)result->bytes, (double)result->bytes * 8e-9 / seconds,
         (unsigned long long)result->operations, (double)result->operations / seconds);
  print_histogram("latencyUs", &result->latency);
  print_histogram("handshakeUs", &result->handshake);
  if (options->mode == MODE_FETCH) print_histogram("responseUs", &result->response);
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
         (unsigned long long)totals->corrupt, (unsigned long long)errors);
  for (int i = 0; i < ERROR_COUNT; i++) {
    printf("%s\"%s\":%llu", i ? "," : "", client_error_names[i], (unsigned long long)totals->errors[i]);
  }
  printf("},");
  print_text("firstError", totals->first_error);
  int clean = errors == 0 && totals->corrupt == 0;
  printf("\"clean\":%s}\n", clean ? "true" : "false");
  return clean;
}
