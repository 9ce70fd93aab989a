/* SPDX-License-Identifier: MIT */
/* include/splice/states.h against the thesis: section 5.1, figure 5.1, written out a second time.
 *
 * Every pair of state and event stands here, also the many that change nothing: an edge that
 * somebody adds to the one table must be added, and argued, here too.
 */
#include <string.h>

#include "splice/states.h"
#include "tap.h"

#define CLOSE SPLICE_SIDE_CLOSE
#define ESTAB SPLICE_SIDE_ESTABLISHED
#define PRE SPLICE_SIDE_PRE_SPLICED
#define SPLICED SPLICE_SIDE_SPLICED
#define FIN SPLICE_SIDE_FIN_RELAYED
#define SHUT SPLICE_SIDE_SHUTDOWN
#define WAIT SPLICE_SIDE_TIMEWAIT

/* Columns in the order of the events. What differs from the thesis, and why:
 *
 * ESTABLISHED goes to PRE_SPLICED also when the local socket owns nothing: whether it does is
 * known only when both sides are looked at together (RELEASE).
 * PRE_SPLICED and FIN: the thesis' special transition for a FIN that waited in the queue.
 * FIN_VOID: a FIN may be forged, which the thesis leaves out; who acknowledges beyond it proves so.
 * RESET: the thesis relays it and tears the splice down in every state that it has entered. Before
 * the splice the engine's sockets see a reset themselves. In TIMEWAIT it must not cut the waiting
 * short (RFC 1337).
 */
static const unsigned int expected[SPLICE_SIDE_STATES_MAX][SPLICE_SIDE_EVENTS_MAX] = {
	/*             CONNECT  SPLICE   RELEASE  FIN      FIN_ACKED FIN_VOID BOTH_SHUT RESET   EXPIRE */
	/* CLOSE   */ { ESTAB,   CLOSE,   CLOSE,   CLOSE,   CLOSE,    CLOSE,   CLOSE,   CLOSE,   CLOSE },
	/* ESTAB   */ { ESTAB,   PRE,     ESTAB,   ESTAB,   ESTAB,    ESTAB,   ESTAB,   ESTAB,   ESTAB },
	/* PRE     */ { PRE,     PRE,     SPLICED, FIN,     PRE,      PRE,     PRE,     CLOSE,   PRE },
	/* SPLICED */ { SPLICED, SPLICED, SPLICED, FIN,     SPLICED,  SPLICED, SPLICED, CLOSE,   SPLICED },
	/* FIN     */ { FIN,     FIN,     FIN,     FIN,     SHUT,     SPLICED, FIN,     CLOSE,   FIN },
	/* SHUT    */ { SHUT,    SHUT,    SHUT,    SHUT,    SHUT,     SHUT,    WAIT,    CLOSE,   SHUT },
	/* WAIT    */ { WAIT,    WAIT,    WAIT,    WAIT,    WAIT,     WAIT,    WAIT,    WAIT,    CLOSE },
};

static const struct {
	const char *name;
	unsigned int value;
} states[] = {
#define NAME_AND_VALUE(name, value) { #name, value },
	SPLICE_SIDE_STATES(NAME_AND_VALUE)
}, events[] = {
	SPLICE_SIDE_EVENTS(NAME_AND_VALUE)
#undef NAME_AND_VALUE
};

static const struct {
	unsigned int from, event, to;
} edges[] = {
#define EDGE(from, on, to) { SPLICE_SIDE_##from, SPLICE_ON_##on, SPLICE_SIDE_##to },
	SPLICE_SIDE_TRANSITIONS(EDGE)
#undef EDGE
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void check_every_pair(void)
{
	char text[120];

	for (unsigned int state = 0; state < SPLICE_SIDE_STATES_MAX; state++) {
		for (unsigned int event = 0; event < SPLICE_SIDE_EVENTS_MAX; event++) {
			const unsigned int to = expected[state][event];

			if (to == state)
				snprintf(text, sizeof(text), "%s, %s: nothing changes",
					 states[state].name, events[event].name);
			else
				snprintf(text, sizeof(text), "%s, %s: %s", states[state].name,
					 events[event].name, states[to].name);
			TAP_OK(splice_side_next(state, event) == to, text);
		}
	}
	TAP_OK(splice_side_next(SPLICE_SIDE_STATES_MAX, SPLICE_ON_FIN) == SPLICE_SIDE_STATES_MAX &&
		       splice_side_next(PRE, SPLICE_SIDE_EVENTS_MAX) == PRE &&
		       splice_side_next(~0u, ~0u) == ~0u,
	       "a state or an event that is none changes nothing");
}

/* The X-macro itself, of which a doubled or an idle edge would never be taken. */
static void check_edges(void)
{
	unsigned int changes = 0;
	int once = 1, real = 1;

	for (unsigned int state = 0; state < SPLICE_SIDE_STATES_MAX; state++)
		for (unsigned int event = 0; event < SPLICE_SIDE_EVENTS_MAX; event++)
			changes += expected[state][event] != state;
	for (unsigned int i = 0; i < COUNT(edges); i++) {
		real &= edges[i].from != edges[i].to;
		for (unsigned int j = 0; j < i; j++)
			once &= edges[i].from != edges[j].from || edges[i].event != edges[j].event;
	}
	TAP_OK(COUNT(edges) == changes, "as many edges are listed as there are changes");
	TAP_OK(once, "no edge is listed twice");
	TAP_OK(real, "no edge leads back to where it starts");
}

static void check_numbers(void)
{
	static unsigned char taken[SPLICE_EDGES_MAX];
	int in_order = 1, different = 1;

	TAP_OK(COUNT(states) == SPLICE_SIDE_STATES_MAX, "the number of states");
	TAP_OK(COUNT(events) == SPLICE_SIDE_EVENTS_MAX, "the number of events");
	for (unsigned int i = 0; i < COUNT(states); i++)
		in_order &= states[i].value == i;
	for (unsigned int i = 0; i < COUNT(events); i++)
		in_order &= events[i].value == i;
	TAP_OK(in_order, "both are numbered from 0 without gaps: they index arrays");
	for (unsigned int state = 0; state < SPLICE_SIDE_STATES_MAX; state++) {
		for (unsigned int event = 0; event < SPLICE_SIDE_EVENTS_MAX; event++) {
			const unsigned int edge = SPLICE_EDGE(state, event);

			different &= edge < SPLICE_EDGES_MAX && !taken[edge];
			if (edge < SPLICE_EDGES_MAX)
				taken[edge] = 1;
		}
	}
	TAP_OK(different, "every pair has a slot of its own among the edges");
}

static unsigned int run(unsigned int state, const unsigned int *on, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		state = splice_side_next(state, on[i]);
	return state;
}

static void check_lives(void)
{
	static const unsigned int orderly[] = {
		SPLICE_ON_CONNECT, SPLICE_ON_SPLICE, SPLICE_ON_RELEASE, SPLICE_ON_FIN,
		SPLICE_ON_FIN_ACKED, SPLICE_ON_BOTH_SHUT, SPLICE_ON_EXPIRE,
	};
	static const unsigned int forged[] = {
		SPLICE_ON_FIN, SPLICE_ON_FIN_VOID, SPLICE_ON_FIN, SPLICE_ON_FIN_ACKED,
	};
	static const unsigned int early[] = { SPLICE_ON_FIN, SPLICE_ON_RELEASE };

	TAP_OK(run(CLOSE, orderly, COUNT(orderly)) == CLOSE, "an orderly life leads back to CLOSE");
	TAP_OK(run(CLOSE, orderly, COUNT(orderly) - 1) == WAIT, "and waits before that");
	TAP_OK(run(SPLICED, forged, COUNT(forged)) == SHUT,
	       "the real FIN still counts after a forged one");
	TAP_OK(run(PRE, early, COUNT(early)) == FIN,
	       "a release does not undo a FIN that was relayed before it");
}

int main(void)
{
	check_every_pair();
	check_edges();
	check_numbers();
	check_lives();
	return tap_end();
}
