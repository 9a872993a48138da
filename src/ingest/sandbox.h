// Runs a function on hostile bytes in child processes that can do nothing else: no file, no socket, no new process, bounded memory and time. What the
// child answers is as hostile as what it was asked: its length is checked, its content is the caller's to check.
//
//   parent ──fork at start()──▶ zygote (small, never sees a document) ──fork on demand──▶ workers, ended after 10 s without work
//
// start() comes before threads and models exist: what the process maps then is what every worker carries. A zygote that ends is not forked again, for by
// then this process holds readers' things: SandboxOptions::anew runs the program a second time. A Sandbox lives as long as its owner;
// its end, or the parent's death by any signal, ends every child. run() may be called from any thread; at most `workers` documents are under way, others
// wait. One worker serves many documents; it is replaced after documents_per_worker, and after any crash, timeout or odd answer.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir {

struct SandboxOptions {
  std::string (*handler)(std::string_view request) = nullptr;  // runs in the child; may throw: then the child counts as crashed
  void (*warm_up)() = nullptr;                                 // runs once in the zygote, so that workers share what it builds; may be null
  std::size_t workers = 2;
  std::size_t memory = 512u << 20;                                   // RLIMIT_AS of a worker (not under ASan and TSan, which reserve more)
  std::size_t request_limit = 64u << 20, answer_limit = 256u << 20;  // bytes
  std::chrono::milliseconds cpu{2500};                               // CPU time of one document
  std::chrono::milliseconds wall{15000};                             // wall time of one document, workers' queue not counted
  std::size_t documents_per_worker = 1000;
  std::chrono::seconds idle{10};
  // A command line that ends in become_zygote_anew(); with it a zygote that was killed is started again, at most five times in half a minute. Empty: never.
  std::vector<std::string> anew;
};

// What holds on this machine, as a worker found it. `weir doctor` prints it.
struct SandboxFeatures {
  int landlock = 0;  // ABI version; 0: none (then seccomp alone keeps files away)
  bool landlock_network = false;
  bool seccomp = false;  // allow-list of system calls
  bool memory_limit = false, cpu_limit = false, no_new_privileges = false, undumpable = false;
  // Files and network are out of reach: a worker without seccomp is not started at all.
  bool sealed() const { return seccomp && no_new_privileges; }
};

class Sandbox {
 public:
  // Errors: io (no process to be had), refused (the kernel lacks seccomp: nothing would hold).
  static Result<std::unique_ptr<Sandbox>> start(const SandboxOptions& options);
  // What a process started by `anew` does, before anything else: descriptor 3 leads to its parent.
  [[noreturn]] static void become_zygote_anew(const SandboxOptions& options);
  ~Sandbox();

  // Errors: crashed (the signal, or that memory ran out), timeout (CPU or wall), too_large (request or answer), unavailable (no worker can be forked).
  // Cost: some 20 µs a 100 kB document above the handler's own time; 1 ms for the first one and after a crash.
  Result<std::string> run(std::string_view request);

  SandboxFeatures features();
  // Processes of ours that live now, the zygote among them.
  std::size_t processes() const;

 private:
  struct State;
  explicit Sandbox(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace weir
