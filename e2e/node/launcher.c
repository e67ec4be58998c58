#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Makes the permitted capabilities of this file ambient, which the next program inherits, and executes the arguments. */
int main(int argc, char **argv) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct sets[2];
  if (argc < 2 || syscall(SYS_capget, &header, sets) != 0) return 2;
  for (int i = 0; i < 2; i++) sets[i].inheritable = sets[i].permitted;
  if (syscall(SYS_capset, &header, sets) != 0) return 2;
  for (int number = 0; number < 64; number++) {
    if (sets[number / 32].permitted & (1U << number % 32)) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0);
  }
  execv(argv[1], argv + 1);
  perror(argv[1]);
  return 2;
}
