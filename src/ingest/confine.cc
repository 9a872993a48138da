#include "ingest/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WEIR_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WEIR_SANITIZED 1
#endif
#endif

namespace weir {
namespace {

#if defined(__x86_64__)
constexpr unsigned architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr unsigned architecture = AUDIT_ARCH_AARCH64;
#else
#error "no seccomp filter for this architecture"
#endif

// What parsing needs: memory, time, and the socket it was given.
constexpr int allowed[] = {
    SYS_read,        SYS_write,         SYS_readv,        SYS_writev,       SYS_munmap,       SYS_mremap,         SYS_madvise,         SYS_brk,
    SYS_futex,       SYS_clock_gettime, SYS_gettimeofday, SYS_setitimer,    SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_restart_syscall, SYS_getrandom,
    SYS_sched_yield, SYS_exit,          SYS_exit_group,
#ifdef WEIR_SANITIZED
    SYS_sigaltstack, SYS_getpid,        SYS_gettid,       SYS_rt_sigaction,
#endif
};

// What libraries try on the side and survive without: they are told no. Everything else kills.
constexpr int denied[] = {
#ifdef SYS_open
    SYS_open,   SYS_stat,       SYS_access, SYS_readlink,
#endif
    SYS_openat, SYS_newfstatat, SYS_fstat,  SYS_statx,    SYS_faccessat, SYS_readlinkat, SYS_ioctl, SYS_sched_getaffinity};

bool filter_system_calls() {
  std::vector<sock_filter> f;
  const auto load = [&](std::size_t offset) { f.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<unsigned>(offset))); };
  const auto end = [&](unsigned action) { f.push_back(BPF_STMT(BPF_RET | BPF_K, action)); };
  const auto skip_unless = [&](unsigned value, std::uint8_t n) { f.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, n)); };

  load(offsetof(seccomp_data, arch));
  f.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, architecture, 1, 0));
  end(SECCOMP_RET_KILL_PROCESS);
  load(offsetof(seccomp_data, nr));
  // Memory may be had, not memory to run code from.
  for (const int call : {SYS_mmap, SYS_mprotect}) {
    skip_unless(static_cast<unsigned>(call), 4);
    load(offsetof(seccomp_data, args[2]));
    f.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1));
    end(SECCOMP_RET_KILL_PROCESS);
    end(SECCOMP_RET_ALLOW);
  }
  for (const int call : allowed) {
    skip_unless(static_cast<unsigned>(call), 1);
    end(SECCOMP_RET_ALLOW);
  }
  for (const int call : denied) {
    skip_unless(static_cast<unsigned>(call), 1);
    end(SECCOMP_RET_ERRNO | EACCES);
  }
  end(SECCOMP_RET_KILL_PROCESS);

  const sock_fprog program{static_cast<unsigned short>(f.size()), f.data()};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

// A ruleset that handles everything this kernel's Landlock knows and allows nothing of it. Its ABI version; 0 when there is none. (Debian 12's header stops at
// ABI 2, so the structure stands here.)
int landlock_everything() {
  struct {
    std::uint64_t files, network, scopes;
  } handled{};
  const int abi = static_cast<int>(syscall(SYS_landlock_create_ruleset, nullptr, 0, 1u));
  if (abi < 1) return 0;
  const unsigned file_rights = abi >= 5 ? 16 : abi >= 3 ? 15 : abi >= 2 ? 14 : 13;
  handled.files = (1ull << file_rights) - 1;
  handled.network = abi >= 4 ? 3 : 0;  // bind and connect, TCP
  handled.scopes = abi >= 6 ? 3 : 0;   // abstract sockets, signals
  const int rules = static_cast<int>(syscall(SYS_landlock_create_ruleset, &handled, abi >= 6 ? 24 : abi >= 4 ? 16 : 8, 0u));
  if (rules < 0) return 0;
  const bool held = syscall(SYS_landlock_restrict_self, rules, 0u) == 0;
  close(rules);
  return held ? abi : 0;
}

bool limit(int resource, std::size_t most) {
  const rlimit value{most, most};
  return setrlimit(static_cast<__rlimit_resource>(resource), &value) == 0;
}

}  // namespace

bool has_seccomp() {
  const unsigned action = SECCOMP_RET_KILL_PROCESS;
  return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

SandboxFeatures confine(int keep, const SandboxOptions& options) {
  SandboxFeatures out;
  if (keep != 3) dup2(keep, 3);
  syscall(SYS_close_range, 4u, ~0u, 0u);
  out.no_new_privileges = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
  out.undumpable = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
  out.cpu_limit = limit(RLIMIT_CORE, 0);  // the timer itself is set for each document
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_NPROC, 0);  // does not bind root; seccomp does
#ifndef WEIR_SANITIZED
  out.memory_limit = limit(RLIMIT_AS, options.memory);
#else
  static_cast<void>(options);
#endif
  out.landlock = landlock_everything();
  out.landlock_network = out.landlock >= 4;
  limit(RLIMIT_NOFILE, 4);
  out.seccomp = filter_system_calls();
  return out;
}

}  // namespace weir
