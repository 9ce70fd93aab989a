// SPDX-License-Identifier: MIT
#include "totals.h"

#include <stdio.h>
#include <string.h>

const char *const client_error_names[ERROR_COUNT] = {
    "connect", "refusedMethod", "refusedRequest", "protocol", "closedEarly", "reset", "timeout"};

void totals_note(struct client_totals *totals, uint64_t now, const char *text) {
  if (totals->first_error[0]) return;
  snprintf(totals->first_error, sizeof(totals->first_error), "%s", text);
  totals->first_error_at = now;
}

uint64_t totals_errors(const struct client_totals *totals) {
  uint64_t errors = 0;
  for (int i = 0; i < ERROR_COUNT; i++) errors += totals->errors[i];
  return errors;
}

void totals_clear_measured(struct client_totals *totals, int handshakes_too) {
  totals->bytes = totals->operations = totals->fresh = totals->reopened = 0;
  memset(&totals->latency, 0, sizeof(totals->latency));
  memset(&totals->response, 0, sizeof(totals->response));
  if (handshakes_too) memset(&totals->handshake, 0, sizeof(totals->handshake));
}

void totals_merge(struct client_totals *into, const struct client_totals *from) {
  into->bytes += from->bytes;
  into->operations += from->operations;
  into->fresh += from->fresh;
  into->reopened += from->reopened;
  if (from->last_serial > into->last_serial) into->last_serial = from->last_serial;
  histogram_merge(&into->latency, &from->latency);
  histogram_merge(&into->response, &from->response);
  histogram_merge(&into->handshake, &from->handshake);
  into->corrupt += from->corrupt;
  for (int i = 0; i < ERROR_COUNT; i++) into->errors[i] += from->errors[i];
  if (!from->first_error[0]) return;
  if (into->first_error[0] && into->first_error_at <= from->first_error_at) return;
  memcpy(into->first_error, from->first_error, sizeof(into->first_error));
  into->first_error_at = from->first_error_at;
}
