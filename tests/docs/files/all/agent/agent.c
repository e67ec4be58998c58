/* agent/agent.c */
#include <linux/bpf.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
  /* Make the permitted capabilities effective. */
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct sets[2];
  syscall(SYS_capget, &header, sets);
  for (int i = 0; i < 2; i++) sets[i].effective = sets[i].permitted;
  syscall(SYS_capset, &header, sets);

  union bpf_attr map = {.map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 4, .max_entries = 16};
  if (syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map) < 0) {
    perror("cannot create a BPF map");
    return 1;
  }
  printf("BPF map created as uid %d\n", getuid());
  return 0;
}
