/* A library to preload: it makes one system call of a program fail, chosen by the environment.
 *
 *   SUTURE_FAULT_CALL    the call: open, pread, pwrite, write, fsync, fdatasync, fallocate, rename,
 *                        copy, close, mkdir
 *   SUTURE_FAULT_AT      which of them, from 1; several are separated by commas
 *   SUTURE_FAULT_ACTION  short, stop, kill, int, term, or the number that errno gets
 *   SUTURE_FAULT_UNDER   only calls on paths below this folder count
 *   SUTURE_FAULT_MARK    a file that is made when the call is reached
 *
 * `close` counts descriptors that were opened for writing. The actions stop, kill, int and term
 * raise the signal and then do what was asked. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum outcome { PROCEED, FAIL, SHORTEN };

static atomic_int calls_seen;

static int is_below(const char *path) {
  const char *folder = getenv("SUTURE_FAULT_UNDER");
  return folder != NULL && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_descriptor_below(int descriptor) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = '\0';
  return is_below(path);
}

/* Relative paths count: the program runs in the folder. */
static int is_path_below(const char *path) { return path[0] != '/' || is_below(path); }

static void leave_mark(void) {
  const char *mark = getenv("SUTURE_FAULT_MARK");
  if (mark != NULL) {
    const long descriptor =
        syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor >= 0) syscall(SYS_close, (int)descriptor);
  }
}

/* True when `number` is in a list such as `1,3`. */
static int is_listed(const char *list, int number) {
  while (list != NULL) {
    if (atoi(list) == number) return 1;
    list = strchr(list, ',');
    if (list != NULL) ++list;
  }
  return 0;
}

static enum outcome decide(const char *call) {
  const char *chosen = getenv("SUTURE_FAULT_CALL");
  const char *at = getenv("SUTURE_FAULT_AT");
  const char *action = getenv("SUTURE_FAULT_ACTION");
  if (chosen == NULL || at == NULL || action == NULL || strcmp(call, chosen) != 0) return PROCEED;
  if (!is_listed(at, atomic_fetch_add(&calls_seen, 1) + 1)) return PROCEED;
  leave_mark();
  if (strcmp(action, "short") == 0) return SHORTEN;
  const int signal = strcmp(action, "stop") == 0   ? SIGSTOP
                     : strcmp(action, "kill") == 0 ? SIGKILL
                     : strcmp(action, "int") == 0  ? SIGINT
                     : strcmp(action, "term") == 0 ? SIGTERM
                                                   : 0;
  if (signal != 0) {
    kill(getpid(), signal);
    return PROCEED;
  }
  errno = atoi(action);
  return FAIL;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Half of the bytes, but one at least. */
static size_t shortened(size_t bytes) { return bytes > 1 ? bytes / 2 : bytes; }

static mode_t mode_argument(int flags, va_list list) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
}

#define OPEN(name)                                                         \
  int name(const char *path, int flags, ...) {                             \
    va_list list;                                                          \
    va_start(list, flags);                                                 \
    const mode_t mode = mode_argument(flags, list);                        \
    va_end(list);                                                          \
    if (is_path_below(path) && decide("open") == FAIL) return -1;          \
    return REAL(name)(path, flags, mode);                                  \
  }
OPEN(open)
OPEN(open64)

#define PREAD(name, offset_type)                                           \
  ssize_t name(int descriptor, void *out, size_t bytes, offset_type at) {  \
    if (is_descriptor_below(descriptor)) {                                 \
      const enum outcome outcome = decide("pread");                        \
      if (outcome == FAIL) return -1;                                      \
      if (outcome == SHORTEN) bytes = shortened(bytes);                    \
    }                                                                      \
    return REAL(name)(descriptor, out, bytes, at);                         \
  }
PREAD(pread, off_t)
PREAD(pread64, off64_t)

#define PWRITE(name, offset_type)                                                \
  ssize_t name(int descriptor, const void *data, size_t bytes, offset_type at) { \
    if (is_descriptor_below(descriptor)) {                                       \
      const enum outcome outcome = decide("pwrite");                             \
      if (outcome == FAIL) return -1;                                            \
      if (outcome == SHORTEN) bytes = shortened(bytes);                          \
    }                                                                            \
    return REAL(name)(descriptor, data, bytes, at);                              \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int descriptor, const void *data, size_t bytes) {
  if (is_descriptor_below(descriptor)) {
    const enum outcome outcome = decide("write");
    if (outcome == FAIL) return -1;
    if (outcome == SHORTEN) bytes = shortened(bytes);
  }
  return REAL(write)(descriptor, data, bytes);
}

int fsync(int descriptor) {
  if (is_descriptor_below(descriptor) && decide("fsync") == FAIL) return -1;
  return REAL(fsync)(descriptor);
}

int fdatasync(int descriptor) {
  if (is_descriptor_below(descriptor) && decide("fdatasync") == FAIL) return -1;
  return REAL(fdatasync)(descriptor);
}

#define FALLOCATE(name, offset_type)                                             \
  int name(int descriptor, int mode, offset_type offset, offset_type bytes) {    \
    if (is_descriptor_below(descriptor) && decide("fallocate") == FAIL) return -1; \
    return REAL(name)(descriptor, mode, offset, bytes);                          \
  }
FALLOCATE(fallocate, off_t)
FALLOCATE(fallocate64, off64_t)

int rename(const char *from, const char *to) {
  if (is_path_below(to) && decide("rename") == FAIL) return -1;
  return REAL(rename)(from, to);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
  if (is_path_below(to) && decide("rename") == FAIL) return -1;
  return REAL(renameat2)(from_folder, from, to_folder, to, flags);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t bytes,
                        unsigned flags) {
  if (is_descriptor_below(out)) {
    const enum outcome outcome = decide("copy");
    if (outcome == FAIL) return -1;
    if (outcome == SHORTEN) bytes = shortened(bytes);
  }
  return REAL(copy_file_range)(in, in_at, out, out_at, bytes, flags);
}

int close(int descriptor) {
  const int flags = fcntl(descriptor, F_GETFL);
  const int writes = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
  if (writes && is_descriptor_below(descriptor) && decide("close") == FAIL) {
    const int error = errno;
    REAL(close)(descriptor);
    errno = error;
    return -1;
  }
  return REAL(close)(descriptor);
}

int mkdir(const char *path, mode_t mode) {
  if (is_path_below(path) && decide("mkdir") == FAIL) return -1;
  return REAL(mkdir)(path, mode);
}
