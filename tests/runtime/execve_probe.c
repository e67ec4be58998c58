/* Runs cases of execve(2): puts a process into the state of each case, executes a file with
 * the owner, mode and capabilities of the case, and prints the resulting state.
 *
 * Usage: execve_probe DIRECTORY <CASES
 *
 * DIRECTORY is an empty directory to mount on. A case is a line of numbers, as strtoull(3)
 * reads them, in the order of `struct item`, followed by security.capability in hex ("-" for
 * none). The output has a line for each case: "before" and the state before the execve, then
 * "after" and the state after it, or "errno N". If the process cannot have the state of the
 * case, the line is "failed WHAT: WHY". A state is
 *
 *   ruid euid suid fsuid  rgid egid sgid fsgid
 *   inheritable permitted effective bounding ambient  no_new_privs securebits AT_SECURE
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

typedef unsigned long long number;
enum { GROUPS = 3, NAMESPACES = 2, REPORT = 100 };

struct item {
  number ruid, euid, suid, rgid, egid, sgid;
  number group_count, groups[GROUPS];
  number permitted, inheritable, effective, bounding, ambient, securebits, no_new_privs;
  /* User namespaces, the outermost first: the uid and gid of its root in its parent. */
  number namespace_count, roots[NAMESPACES];
  number owner, group, mode, nosuid;
  int size; /* of the attribute; -1 for none */
  unsigned char attribute[64];
};

static const char kFile[] = "file/report", kNosuid[] = "nosuid/report";

static void must(int succeeded, const char *what) {
  if (succeeded) return;
  dprintf(REPORT, "failed %s: %s\n", what, strerror(errno));
  _exit(1);
}

/* Prints the state of this process to the descriptor REPORT. */
static void report(const char *when) {
  unsigned id[8] = {0};
  number set[5] = {0}, no_new_privs = 0;
  char line[256];
  FILE *status = fopen("/proc/self/status", "r");
  must(status != NULL, "/proc/self/status");
  while (fgets(line, sizeof line, status)) {
    static const char *const kSets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    sscanf(line, "Uid: %u %u %u %u", id, id + 1, id + 2, id + 3);
    sscanf(line, "Gid: %u %u %u %u", id + 4, id + 5, id + 6, id + 7);
    sscanf(line, "NoNewPrivs: %llu", &no_new_privs);
    for (int i = 0; i < 5; i++) {
      if (strncmp(line, kSets[i], 6) == 0) set[i] = strtoull(line + 7, NULL, 16);
    }
  }
  fclose(status);
  dprintf(REPORT, "%s", when);
  for (int i = 0; i < 8; i++) dprintf(REPORT, " %u", id[i]);
  for (int i = 0; i < 5; i++) dprintf(REPORT, " %llu", set[i]);
  dprintf(REPORT, " %llu %d %lu ", no_new_privs, prctl(PR_GET_SECUREBITS), getauxval(AT_SECURE));
}

static int capset(number permitted, number inheritable, number effective) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  for (int i = 0; i < 2; i++) {
    data[i].permitted = permitted >> 32 * i;
    data[i].inheritable = inheritable >> 32 * i;
    data[i].effective = effective >> 32 * i;
  }
  return syscall(SYS_capset, &header, data) == 0;
}

/* Returns the permitted set of this process. */
static number permitted(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  must(syscall(SYS_capget, &header, data) == 0, "capget");
  return data[0].permitted | (number)data[1].permitted << 32;
}

/* Becomes the process of the case, in an order that keeps the capabilities for later steps. */
static void become(const struct item *c) {
  gid_t groups[GROUPS];
  for (number i = 0; i < c->group_count; i++) groups[i] = c->groups[i];
  must(setgroups(c->group_count, groups) == 0, "setgroups");
  must(setresgid(c->rgid, c->egid, c->sgid) == 0, "setresgid");
  must(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) == 0, "securebits for setresuid");
  must(setresuid(c->ruid, c->euid, c->suid) == 0, "setresuid");
  must(capset(permitted(), c->inheritable, permitted()), "inheritable");
  for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++) {
    if (c->ambient >> cap & 1) {
      must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) == 0, "ambient");
    }
    if (!(c->bounding >> cap & 1)) must(prctl(PR_CAPBSET_DROP, cap) == 0, "bounding");
  }
  must(prctl(PR_SET_SECUREBITS, c->securebits) == 0, "securebits");
  must(capset(c->permitted, c->inheritable, c->effective), "capset");
  if (c->no_new_privs) must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
}

static void map(const char *file, pid_t pid, number root, int count) {
  char path[64], text[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
  const int length = snprintf(text, sizeof text, "0 %llu %d", root, count);
  const int fd = open(path, O_WRONLY);
  must(fd >= 0 && write(fd, text, length) == length, file);
  close(fd);
}

/* Enters the user namespaces of the case, of which this process has entered `depth`, and
 * executes the file there. Returns in the processes outside the innermost namespace. */
static void run(const struct item *c, number depth, int file) {
  if (depth == c->namespace_count) {
    become(c);
    report("before");
    syscall(SYS_execveat, file, "", (char *[]){"report", NULL}, (char *[]){NULL}, AT_EMPTY_PATH);
    dprintf(REPORT, "errno %d\n", errno);
    _exit(0);
  }
  int ready[2], mapped[2];
  char byte = 0;
  must(pipe2(ready, O_CLOEXEC) == 0 && pipe2(mapped, O_CLOEXEC) == 0, "pipe");
  const pid_t pid = fork();
  must(pid >= 0, "fork");
  if (pid == 0) {
    must(unshare(CLONE_NEWUSER) == 0, "user namespace");
    prctl(PR_SET_DUMPABLE, 1); /* so that the parent may write /proc/PID/uid_map */
    must(write(ready[1], &byte, 1) == 1 && read(mapped[0], &byte, 1) == 1, "user namespace's maps");
    must(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0, "user namespace's root");
    run(c, depth + 1, file);
    _exit(0);
  }
  close(ready[1]);
  if (read(ready[0], &byte, 1) == 1) {
    map("uid_map", pid, c->roots[depth], 65536 >> depth);
    map("gid_map", pid, c->roots[depth], 65536 >> depth);
    must(write(mapped[1], &byte, 1) == 1, "pipe");
  }
  waitpid(pid, NULL, 0);
}

/* Gives the file its owner, mode and then its capabilities, which the first two steps clear. */
static void prepare(const struct item *c) {
  must(chown(kFile, c->owner, c->group) == 0, "chown");
  must(chmod(kFile, c->mode) == 0, "chmod");
  if (c->size < 0) {
    must(removexattr(kFile, "security.capability") == 0 || errno == ENODATA, "removexattr");
  } else {
    must(setxattr(kFile, "security.capability", c->attribute, c->size, 0) == 0, "setxattr");
  }
}

static number next(char **text) {
  char *end;
  const number value = strtoull(*text, &end, 0);
  must(end != *text, "a number of the case");
  *text = end;
  return value;
}

static struct item parse(char *text) {
  struct item c;
  number *const head[] = {&c.ruid, &c.euid, &c.suid, &c.rgid, &c.egid, &c.sgid};
  number *const middle[] = {&c.permitted, &c.inheritable, &c.effective, &c.bounding,
                            &c.ambient,   &c.securebits,  &c.no_new_privs};
  number *const tail[] = {&c.owner, &c.group, &c.mode, &c.nosuid};
  for (size_t i = 0; i < sizeof head / sizeof *head; i++) *head[i] = next(&text);
  must((c.group_count = next(&text)) <= GROUPS, "groups of the case");
  for (number i = 0; i < c.group_count; i++) c.groups[i] = next(&text);
  for (size_t i = 0; i < sizeof middle / sizeof *middle; i++) *middle[i] = next(&text);
  must((c.namespace_count = next(&text)) <= NAMESPACES, "namespaces of the case");
  for (number i = 0; i < c.namespace_count; i++) c.roots[i] = next(&text);
  for (size_t i = 0; i < sizeof tail / sizeof *tail; i++) *tail[i] = next(&text);
  text += strspn(text, " ");
  c.size = *text == '-' ? -1 : 0;
  while (c.size >= 0 && c.size < (int)sizeof c.attribute &&
         sscanf(text, "%2hhx", &c.attribute[c.size]) == 1) {
    c.size++;
    text += 2;
  }
  return c;
}

/* Copies this program to a tmpfs in a private mount namespace. A bind mount with nosuid shows
 * the same file. */
static void set_up(const char *directory) {
  must(unshare(CLONE_NEWNS) == 0, "mount namespace");
  must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private mounts");
  must(mount("tmpfs", directory, "tmpfs", 0, "mode=0755") == 0, "tmpfs");
  must(chdir(directory) == 0, directory);
  umask(022);
  must(mkdir("file", 0755) == 0 && mkdir("nosuid", 0755) == 0, "mkdir");
  struct stat info;
  const int from = open("/proc/self/exe", O_RDONLY), to = open(kFile, O_WRONLY | O_CREAT, 0755);
  must(from >= 0 && to >= 0 && fstat(from, &info) == 0, "the program");
  while (lseek(from, 0, SEEK_CUR) < info.st_size) must(sendfile(to, from, NULL, 1 << 24) > 0, "copy");
  close(from);
  close(to);
  must(mount("file", "nosuid", NULL, MS_BIND, NULL) == 0, "bind mount");
  must(mount(NULL, "nosuid", NULL, MS_BIND | MS_REMOUNT | MS_NOSUID, NULL) == 0, "nosuid");
}

int main(int argc, char **argv) {
  char line[1024];
  if (strcmp(argv[0], "report") == 0) {
    report("after");
    return dprintf(REPORT, "\n") != 1;
  }
  if (argc != 2) return 2;
  dup2(1, REPORT);
  set_up(argv[1]);
  const int files[] = {open(kFile, O_PATH | O_CLOEXEC), open(kNosuid, O_PATH | O_CLOEXEC)};
  must(files[0] >= 0 && files[1] >= 0, "open");
  while (fgets(line, sizeof line, stdin)) {
    const struct item c = parse(line);
    prepare(&c);
    const pid_t pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
      run(&c, 0, files[c.nosuid != 0]);
      _exit(0);
    }
    waitpid(pid, NULL, 0);
  }
  return 0;
}
