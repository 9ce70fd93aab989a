// SPDX-License-Identifier: MIT
//
// Called by the load driver at the two ends of the measured interval, never inside it.
// A tree's time contains the time of children it has waited for (cutime, cstime): a child that ends
// moves from its own line to its parent's, so the sum over a tree never goes back.
#include "cpu.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// PF_KTHREAD of linux/sched.h. Not by the number of kthreadd: in a container, 2 may be anybody.
#define KERNEL_THREAD 0x00200000u

struct process {
  pid_t pid, parent;
  int of_kernel;
  double seconds;
};

static double tick(void) { return 1.0 / (double)sysconf(_SC_CLK_TCK); }

void cpu_read_machine(struct cpu_times *times) {
  unsigned long long user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
  FILE *file = fopen("/proc/stat", "re");
  if (!file) return;
  if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait,
             &irq, &softirq, &steal) == 8) {
    times->user = (double)(user + nice) * tick();
    times->system = (double)system * tick();
    times->idle = (double)(idle + iowait) * tick();
    times->irq = (double)irq * tick();
    times->softirq = (double)softirq * tick();
    times->steal = (double)steal * tick();
  }
  fclose(file);
}

static int read_process(const char *name, struct process *process) {
  char path[64], line[1024];
  if (snprintf(path, sizeof(path), "/proc/%.20s/stat", name) >= (int)sizeof(path)) return 0;
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  size_t size = fread(line, 1, sizeof(line) - 1, file);
  fclose(file);
  line[size] = 0;
  // The command name may contain spaces and parentheses: fields start after the last one.
  const char *fields = strrchr(line, ')');
  if (!fields) return 0;
  int parent = 0;
  unsigned flags = 0;
  unsigned long user = 0, system = 0;
  long child_user = 0, child_system = 0;
  if (sscanf(fields + 1, " %*c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %lu %lu %ld %ld", &parent, &flags, &user,
             &system, &child_user, &child_system) != 6) {
    return 0;
  }
  process->pid = (pid_t)atoi(name);
  process->parent = (pid_t)parent;
  process->of_kernel = (flags & KERNEL_THREAD) != 0;
  process->seconds = (double)(user + system) * tick() + (double)(child_user + child_system) * tick();
  return 1;
}

static const struct process *find(const struct process *all, size_t count, pid_t pid) {
  for (size_t i = 0; i < count; i++) {
    if (all[i].pid == pid) return &all[i];
  }
  return NULL;
}

enum { OWNER_KERNEL = -2, OWNER_OTHER = -1 };

static int owner_of(const struct process *all, size_t count, const struct process *process,
                    const pid_t roots[CPU_TREES]) {
  for (int depth = 0; process && depth < 64; depth++) {
    if (process->of_kernel) return OWNER_KERNEL;
    for (int i = 0; i < CPU_TREES; i++) {
      if (roots[i] > 0 && process->pid == roots[i]) return i;
    }
    process = process->parent > 0 ? find(all, count, process->parent) : NULL;
  }
  return OWNER_OTHER;
}

void cpu_read_processes(const pid_t roots[CPU_TREES], struct cpu_times *times) {
  memset(times->trees, 0, sizeof(times->trees));
  times->others = 0;
  DIR *directory = opendir("/proc");
  if (!directory) return;
  struct process *all = NULL;
  size_t count = 0, room = 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    if (!isdigit((unsigned char)entry->d_name[0])) continue;
    if (count == room) {
      room = room ? room * 2 : 256;
      struct process *grown = realloc(all, room * sizeof(*all));
      if (!grown) break;
      all = grown;
    }
    if (read_process(entry->d_name, &all[count])) count++;
  }
  closedir(directory);
  for (size_t i = 0; i < count; i++) {
    int owner = owner_of(all, count, &all[i], roots);
    if (owner >= 0) times->trees[owner] += all[i].seconds;
    if (owner == OWNER_OTHER) times->others += all[i].seconds;
  }
  free(all);
}

struct cpu_times cpu_delta(const struct cpu_times *from, const struct cpu_times *to) {
  struct cpu_times delta = {
      .user = to->user - from->user,
      .system = to->system - from->system,
      .softirq = to->softirq - from->softirq,
      .irq = to->irq - from->irq,
      .steal = to->steal - from->steal,
      .idle = to->idle - from->idle,
      .others = to->others - from->others,
  };
  for (int i = 0; i < CPU_TREES; i++) delta.trees[i] = to->trees[i] - from->trees[i];
  return delta;
}

double cpu_busy(const struct cpu_times *delta) {
  return delta->user + delta->system + delta->softirq + delta->irq;
}
