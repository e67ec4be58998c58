// Raises its own priority, which needs sys_nice, only while it has to.
#include <sys/resource.h>

#include <cstdio>

#include "raise.h"

int main() {
  if (raise_capabilities() != 0 || setpriority(PRIO_PROCESS, 0, -5) != 0) {
    std::perror("setpriority");
    return 1;
  }
  std::puts("priority -5");
}
