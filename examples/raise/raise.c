#include "examples/raise/raise.h"

#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int raise_capability(int number) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct sets[2];
  const unsigned bit = CAP_TO_MASK(number);
  if (syscall(SYS_capget, &header, sets) != 0) return -1;
  if (!(sets[CAP_TO_INDEX(number)].permitted & bit)) return -1;
  sets[CAP_TO_INDEX(number)].effective |= bit;
  return syscall(SYS_capset, &header, sets) == 0 ? 0 : -1;
}

/* capabilities(7), "Transformation of capabilities during execve()": a process
 * that is not root gets the capabilities that are both permitted of the file and
 * in the bounding set, and under no_new_privs none of them. */
void explain_missing(int number, const char *name) {
  /* One call for each message, so that no other output comes between its parts. */
  if (prctl(PR_CAPBSET_READ, number, 0, 0, 0) != 1) {
    fprintf(stderr,
            "missing capability CAP_%s: the container runtime did not grant it.\n"
            "  docker or podman: --cap-add=%s\n"
            "  Kubernetes: securityContext.capabilities.add: [\"%s\"]\n",
            name, name, name);
  } else if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
    fprintf(stderr,
            "missing capability CAP_%s: no_new_privs is set, which switches file capabilities off.\n"
            "  docker or podman: leave out --security-opt=no-new-privileges\n"
            "  Kubernetes: securityContext.allowPrivilegeEscalation: true\n",
            name);
  } else {
    fprintf(stderr,
            "missing capability CAP_%s: the file does not permit it.\n"
            "  BUILD: linux_capabilities = [\"%s\"] (any case)\n",
            name, name);
  }
}
