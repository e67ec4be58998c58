/* Uses three capabilities, like an agent that loads eBPF programs.
 *
 * It raises each permitted capability, reports the missing ones and how to grant
 * them, and then creates a BPF map, for which an ordinary user needs CAP_BPF.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "examples/raise/raise.h"

static const struct {
  int number;
  const char *name;
} kNeeded[] = {
    {CAP_NET_ADMIN, "NET_ADMIN"},
    {CAP_PERFMON, "PERFMON"},
    {CAP_BPF, "BPF"},
};

int main(void) {
  int missing = 0;
  for (unsigned i = 0; i < sizeof kNeeded / sizeof kNeeded[0]; ++i) {
    if (raise_capability(kNeeded[i].number) == 0) {
      printf("CAP_%s: effective\n", kNeeded[i].name);
    } else {
      explain_missing(kNeeded[i].number, kNeeded[i].name);
      ++missing;
    }
  }
  if (missing) return 1;

  union bpf_attr map;
  memset(&map, 0, sizeof map);
  map.map_type = BPF_MAP_TYPE_HASH;
  map.key_size = map.value_size = 4;
  map.max_entries = 16;
  if (syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map) < 0) {
    fprintf(stderr, "cannot create a BPF map: %s\n", strerror(errno));
    return 2;
  }
  printf("BPF map created as uid %d\n", (int)getuid());
  return 0;
}
