// SPDX-License-Identifier: MIT
// Attaches the tc programs of a BPF object to devices of a lab host, and reads and writes its maps.
//
//   packet-filter OBJECT PRIORITY PROGRAM=DEVICE:ingress|egress...
//
// Standard input, one line each, answered by one line:
//   set MAP INDEX WORD...    32-bit words into an entry of an array    -> ok
//   get MAP INDEX            its words                                 -> 1 2 3
// Its end detaches the programs and ends this one.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ATTACHED = 8, WORDS = 64 };

static struct bpf_tc_hook hooks[ATTACHED];
static struct bpf_tc_opts filters[ATTACHED];
static int attached, loaded;

// libbpf complains of a clsact that is there already, as it is for the second object on a device.
static int say(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN && !loaded ? vfprintf(stderr, format, arguments) : 0;
}

static int fail(const char *what)
{
	fprintf(stderr, "packet-filter: %s: %s\n", what, strerror(errno));
	return 1;
}

static int attach(struct bpf_object *object, char *where, unsigned priority)
{
	char *device = strchr(where, '='), *hook = device != NULL ? strchr(device, ':') : NULL;

	if (hook == NULL || attached == ATTACHED) {
		errno = EINVAL;
		return -1;
	}
	*device++ = 0;
	*hook++ = 0;
	struct bpf_program *program = bpf_object__find_program_by_name(object, where);
	if (program == NULL)
		return -1;
	hooks[attached] = (struct bpf_tc_hook){
		.sz = sizeof(struct bpf_tc_hook),
		.ifindex = if_nametoindex(device),
		.attach_point = strcmp(hook, "egress") == 0 ? BPF_TC_EGRESS : BPF_TC_INGRESS,
	};
	filters[attached] = (struct bpf_tc_opts){
		.sz = sizeof(struct bpf_tc_opts),
		.prog_fd = bpf_program__fd(program),
		.handle = 1,
		.priority = priority,
	};
	const int made = bpf_tc_hook_create(&hooks[attached]);
	if (made < 0 && made != -EEXIST)
		return -1;
	if (bpf_tc_attach(&hooks[attached], &filters[attached]) < 0)
		return -1;
	attached++;
	return 0;
}

static void detach_all(void)
{
	while (attached-- > 0) {
		struct bpf_tc_opts which = {
			.sz = sizeof which,
			.handle = filters[attached].handle,
			.priority = filters[attached].priority,
		};
		bpf_tc_detach(&hooks[attached], &which);
	}
}

static int answer(struct bpf_object *object, char *line)
{
	unsigned words[WORDS] = { 0 };
	const char *verb = strtok(line, " \n"), *name = strtok(NULL, " \n"), *index = strtok(NULL, " \n");

	if (index == NULL)
		return -1;
	struct bpf_map *map = bpf_object__find_map_by_name(object, name);
	const unsigned key = strtoul(index, NULL, 10);
	if (map == NULL || bpf_map__value_size(map) > sizeof words)
		return -1;
	if (strcmp(verb, "set") == 0) {
		int at = 0;
		for (char *word; at < WORDS && (word = strtok(NULL, " \n")) != NULL;)
			words[at++] = strtoul(word, NULL, 10);
		if (bpf_map_update_elem(bpf_map__fd(map), &key, words, BPF_ANY) < 0)
			return -1;
		puts("ok");
		return 0;
	}
	if (bpf_map_lookup_elem(bpf_map__fd(map), &key, words) < 0)
		return -1;
	for (unsigned at = 0; at < bpf_map__value_size(map) / 4; at++)
		printf("%s%u", at == 0 ? "" : " ", words[at]);
	puts("");
	return 0;
}

int main(int argc, char **argv)
{
	char line[1024];

	if (argc < 4)
		return 2;
	libbpf_set_print(say);
	struct bpf_object *object = bpf_object__open(argv[1]);
	if (object == NULL)
		return fail(argv[1]);
	struct bpf_program *program;
	bpf_object__for_each_program(program, object)
		bpf_program__set_type(program, BPF_PROG_TYPE_SCHED_CLS);
	if (bpf_object__load(object) < 0)
		return fail("load");
	loaded = 1;
	for (int i = 3; i < argc; i++)
		if (attach(object, argv[i], strtoul(argv[2], NULL, 10)) < 0)
			return fail(argv[i]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof line, stdin) != NULL)
		if (answer(object, line) < 0)
			printf("error %s\n", strerror(errno));
	detach_all();
	return 0;
}
