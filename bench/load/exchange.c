// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "body.h"
#include "http.h"

_Static_assert(HTTP_HEAD_MAX < PATTERN_READ, "with an incomplete head in the inbox there is room for more");

// Asks for the next object. Its time counts from `due`.
static void ask(struct client *client, struct client_context *context, uint64_t due) {
  char path[OBJECT_PATH_MAX], request[HTTP_REQUEST_MAX];
  requests_next(&context->requests, context->options, &client->object, path);
  client->resting = 0;
  client->due_at = due;
  client->asked_at = client->progress_at = client_now();
  client->in_content = 0;
  client->position = 0;
  client->seed = object_seed(&client->object);
  client_send(client, context, request, http_get_request(path, request));
}

// Puts it behind the others that are free, so that all connections are used alike.
static void rest(struct client *client, struct client_context *context) {
  client->resting = 1;
  client->rested_at = client_now();
  client->next_free = NULL;
  if (context->last_free) context->last_free->next_free = client;
  else context->first_free = client;
  context->last_free = client;
}

static void leave_rest(struct client *client, struct client_context *context) {
  struct client *before = NULL, *at = context->first_free;
  for (; at && at != client; at = at->next_free) before = at;
  if (!at) return;
  if (before) before->next_free = client->next_free;
  else context->first_free = client->next_free;
  if (context->last_free == client) context->last_free = before;
}

void exchange_begin(struct client *client, struct client_context *context) {
  if (context->opening || context->stopping) return;
  if (context->options->rate > 0) rest(client, context);
  else ask(client, context, client_now());
}

uint64_t exchange_due(const struct client_context *context) {
  return context->first_free && !context->stopping ? context->next_due : UINT64_MAX;
}

void exchange_send_due(struct client_context *context, uint64_t now) {
  while (exchange_due(context) <= now) {
    struct client *client = context->first_free;
    leave_rest(client, context);
    // It was free in time: what is late then is this loop, by the timer or its other connections, not the other side.
    ask(client, context, client->rested_at <= context->next_due ? now : context->next_due);
    context->next_due += context->gap;
  }
}

void exchange_skip_to(struct client_context *context, uint64_t now) {
  if (context->next_due < now) context->next_due = now;
}

void exchange_end(struct client *client) {
  free(client->partial);
  client->partial = NULL;
}

static void fail(struct client *client, struct client_context *context, const char *detail) {
  client_fail(client, context, ERROR_PROTOCOL, detail);
}

// Whether the response's number, behind the last dash of its ETag, is new. -1: there is none.
static int is_fresh(struct client_context *context, const uint8_t *head, size_t size) {
  struct http_value tag;
  if (!http_field(head, size, "etag", &tag) || tag.size < 3 || tag.text[tag.size - 1] != '"') return -1;
  const char *dash = memrchr(tag.text, '-', tag.size);
  if (!dash) return -1;
  const struct http_value serial = {.text = dash + 1, .size = (size_t)(tag.text + tag.size - 1 - (dash + 1))};
  const int64_t found = http_number(&serial);
  if (found < 0) return -1;
  const uint64_t number = (uint64_t)found;
  if (number > context->totals->last_serial) context->totals->last_serial = number;
  return number <= context->options->known ? 0 : serials_note(&context->serials, number);
}

// The head of a response: exactly what was asked for, or the connection fails.
static void take_head(struct client *client, struct client_context *context, size_t size) {
  const uint8_t *head = context->inbox;
  struct http_value length, connection;
  const int status = http_status(head, size);
  if (status != 200) {
    char detail[64];
    snprintf(detail, sizeof(detail), "status %d instead of 200", status);
    client_fail(client, context, ERROR_REFUSED_REQUEST, detail);
  } else if (!http_field(head, size, "content-length", &length)) {
    fail(client, context, "a response without Content-Length");
  } else if (http_number(&length) != (int64_t)client->object.size) {
    fail(client, context, "Content-Length is not the object's size");
  } else {
    const int fresh = is_fresh(context, head, size);
    if (fresh < 0) {
      fail(client, context, "not the ETag of the origin");
      return;
    }
    context->totals->fresh += (uint64_t)fresh;
    client->reopens = http_field(head, size, "connection", &connection) && http_is(&connection, "close");
    client->limit = client->object.size;
    client->in_content = 1;
  }
}

static void finish(struct client *client, struct client_context *context) {
  const uint64_t now = client_now();
  if (client->due_at >= context->measured_from) {
    histogram_add(&context->totals->latency, now - client->due_at);
    histogram_add(&context->totals->response, now - client->asked_at);
  }
  context->totals->operations++;
  if (client->reopens) client_close(client);
  else exchange_begin(client, context);
}

static void keep_partial(struct client *client, struct client_context *context, size_t size) {
  if (size > HTTP_HEAD_MAX) {
    fail(client, context, "the head of the response does not end");
    return;
  }
  if (!client->partial) client->partial = malloc(HTTP_HEAD_MAX);
  if (!client->partial) {
    client_fail_errno(client, context);
    return;
  }
  memcpy(client->partial, context->inbox, size);
  client->partial_size = size;
}

// The end of the stream is the other side's right between two responses.
static void end_of_stream(struct client *client, struct client_context *context) {
  if (!client->resting) {
    client_fail(client, context, ERROR_CLOSED_EARLY, "end of stream before the end of the response");
    return;
  }
  leave_rest(client, context);
  client->reopens = 1;
  client_close(client);
}

// One read a wake-up, so that no connection keeps the loop for itself.
void exchange_step(struct client *client, struct client_context *context) {
  const size_t before = client->partial_size;
  if (before > 0) memcpy(context->inbox, client->partial, before);
  ssize_t got = recv(client->fd, context->inbox + before, sizeof(context->inbox) - before, 0);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    if (client->resting) leave_rest(client, context);
    client_fail_errno(client, context);
    return;
  }
  if (got == 0) {
    end_of_stream(client, context);
    return;
  }
  if (client->resting) {
    leave_rest(client, context);
    fail(client, context, "a response to no request");
    return;
  }
  size_t size = before + (size_t)got, content = 0;
  client->partial_size = 0;
  if (!client->in_content) {
    content = http_head_size(context->inbox, size);
    if (content == 0) {
      keep_partial(client, context, size);
      return;
    }
    take_head(client, context, content);
    if (client->stage == CLIENT_CLOSED) return;
  }
  if (size - content > client->limit - client->position) {
    fail(client, context, "more bytes than Content-Length");
    return;
  }
  body_take(client, context, context->inbox + content, size - content);
  if (client->position == client->limit) finish(client, context);
}
