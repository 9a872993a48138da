#include "ingest/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "base/log.h"
#include "ingest/confine.h"

namespace weir {
namespace {

using Steady = std::chrono::steady_clock;

// --- what travels: parent ⇄ worker. A request is its length and its bytes; an answer is a head and its bytes; a new worker says hello first. ---

enum class Outcome : std::uint32_t { answered = 0x57656972, out_of_memory, threw };
struct AnswerHead {
  Outcome outcome;
  std::uint32_t size;
};
struct Hello {
  SandboxFeatures features;
};

// parent ⇄ zygote, one packet each way.
enum class Order : int { fork, reap };
struct Command {
  Order order;
  pid_t pid;
};
struct Reply {
  int value;
};  // fork: the pid, or −errno; reap: the wait status

void set_timeout(int fd, int option, std::chrono::milliseconds wait) {
  const timeval value{static_cast<time_t>(wait.count() / 1000), static_cast<suseconds_t>(wait.count() % 1000 * 1000)};
  setsockopt(fd, SOL_SOCKET, option, &value, sizeof value);
}

// --- in the worker ---

bool read_all(int fd, void* to, std::size_t n) {
  for (auto* at = static_cast<char*>(to); n > 0;) {
    const ssize_t got = read(fd, at, n);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    n -= static_cast<std::size_t>(got);
  }
  return true;
}

bool write_all(int fd, const void* from, std::size_t n) {
  for (const auto* at = static_cast<const char*>(from); n > 0;) {
    const ssize_t put = write(fd, at, n);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    at += put;
    n -= static_cast<std::size_t>(put);
  }
  return true;
}

[[noreturn]] void work(int socket, pid_t zygote, const SandboxOptions& options) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (getppid() != zygote) _exit(1);
  set_timeout(socket, SO_RCVTIMEO, options.idle);
  const Hello hello{confine(socket, options)};
  constexpr int fd = 3;
  if (!hello.features.sealed() || !write_all(fd, &hello, sizeof hello)) _exit(1);
  std::string request;
  for (;;) {
    std::uint32_t size = 0;
    if (!read_all(fd, &size, sizeof size) || size > options.request_limit) _exit(0);  // the parent is gone, or nothing came for a while
    try {
      request.resize(size);
      if (!read_all(fd, request.data(), size)) _exit(1);
      const itimerval cpu{{0, 0}, {static_cast<time_t>(options.cpu.count() / 1000), static_cast<suseconds_t>(options.cpu.count() % 1000 * 1000)}};
      setitimer(ITIMER_PROF, &cpu, nullptr);  // its signal ends the process
      const std::string answer = options.handler(request);
      const AnswerHead head{Outcome::answered, static_cast<std::uint32_t>(std::min<std::size_t>(answer.size(), UINT32_MAX))};
      if (!write_all(fd, &head, sizeof head) || !write_all(fd, answer.data(), head.size)) _exit(1);
    } catch (const std::bad_alloc&) {
      const AnswerHead head{Outcome::out_of_memory, 0};
      write_all(fd, &head, sizeof head);
      _exit(1);
    } catch (...) {
      const AnswerHead head{Outcome::threw, 0};
      write_all(fd, &head, sizeof head);
      _exit(1);
    }
    if (request.capacity() > (1u << 20)) std::string().swap(request);
  }
}

// --- in the zygote ---

// Its workers. One that ended by itself does not stay a zombie: its status waits here until the parent asks for it, which it does once for each worker.
class Children {
 public:
  void add(pid_t pid) { all_.push_back({pid, std::nullopt}); }
  bool alive() const {
    return std::ranges::any_of(all_, [](const Child& child) { return !child.status; });
  }

  void look() {
    for (Child& child : all_)
      if (int status = 0; !child.status && waitpid(child.pid, &status, WNOHANG) == child.pid) child.status = status;
  }

  // Ends it. −ECHILD: not ours, so nobody is hit whose number it is by now.
  int reap(pid_t pid) {
    const auto found = std::ranges::find(all_, pid, &Child::pid);
    if (found == all_.end()) return -ECHILD;
    int status = found->status.value_or(0);
    if (!found->status) {
      kill(pid, SIGKILL);  // what is already dying keeps the status it dies with
      while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    }
    all_.erase(found);
    return status;
  }

 private:
  struct Child {
    pid_t pid;
    std::optional<int> status;
  };
  std::vector<Child> all_;
};

// One packet with at most one descriptor. False when the other side is gone.
bool receive(int control, Command& command, int& passed) {
  iovec part{&command, sizeof command};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space;
  message.msg_controllen = sizeof space;
  ssize_t got;
  do got = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  passed = -1;
  if (const cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr && head->cmsg_type == SCM_RIGHTS) memcpy(&passed, CMSG_DATA(head), sizeof passed);
  return got == sizeof command;
}

[[noreturn]] void serve_forks(int control, const SandboxOptions& options) {
  const pid_t self = getpid();
  Command command{};
  Children children;
  for (int passed = -1;;) {
    // While workers live it looks once a second who has ended.
    pollfd one{control, POLLIN, 0};
    const int ready = poll(&one, 1, children.alive() ? 1000 : -1);
    children.look();
    if (ready <= 0) continue;
    if (!receive(control, command, passed)) break;
    Reply reply{-EINVAL};
    if (command.order == Order::fork && passed >= 0) {
      const pid_t child = fork();
      if (child == 0) work(passed, self, options);
      reply.value = child > 0 ? child : -errno;
      if (child > 0) children.add(child);
    } else if (command.order == Order::reap) {
      reply.value = children.reap(command.pid);
    }
    if (passed >= 0) close(passed);
    if (send(control, &reply, sizeof reply, MSG_NOSIGNAL) != sizeof reply) break;
  }
  _exit(0);  // and the workers with it
}

// Gives back the pages of code and constants that start-up has touched: what is used comes back from the page cache. Resident memory counts them.
int forget_code(dl_phdr_info* object, std::size_t, void*) {
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = object->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || (part.p_flags & PF_W) != 0) continue;
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    const std::uintptr_t begin = (object->dlpi_addr + part.p_vaddr) & ~(page - 1), end = object->dlpi_addr + part.p_vaddr + part.p_memsz;
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);  // NOLINT(performance-no-int-to-ptr)
  }
  return 0;
}

[[noreturn]] void become_zygote(int control, const SandboxOptions& options) {
  // The terminal's Ctrl-C is for the parent; when it is gone, so is the other end of `control`.
  // NOLINTNEXTLINE(concurrency-mt-unsafe): a process of one thread
  for (int number = 1; number < NSIG; ++number)
    signal(number, number == SIGINT || number == SIGTERM || number == SIGHUP || number == SIGQUIT ? SIG_IGN : SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);  // NOLINT(concurrency-mt-unsafe): as above
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null >= 0) {
    dup2(null, 0);
    dup2(null, 1);
    if (!isatty(2)) dup2(null, 2);  // a terminal may hear a sanitizer's last words; a log file hears nothing from here
  }
  if (control != 3) dup2(control, 3);
  syscall(SYS_close_range, 4u, ~0u, 0u);
  fcntl(3, F_SETFD, FD_CLOEXEC);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (options.warm_up != nullptr) options.warm_up();
  dl_iterate_phdr(forget_code, nullptr);
  serve_forks(3, options);
}

// --- in the parent ---

struct Worker {
  pid_t pid = 0;
  int fd = -1;
  unsigned generation = 0;  // of the zygote whose child it is
  std::size_t documents = 0;
};

enum class Io { done, timeout, gone };

int milliseconds_until(Steady::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Steady::now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, INT32_MAX));
}

Io wait_for(int fd, short events, Steady::time_point deadline) {
  pollfd one{fd, events, 0};
  for (;;) {
    const int ready = poll(&one, 1, milliseconds_until(deadline));
    if (ready > 0) return Io::done;
    if (ready == 0) return Io::timeout;
    if (errno != EINTR) return Io::gone;
  }
}

Io send_request(int fd, std::string_view request, Steady::time_point deadline) {
  auto size = static_cast<std::uint32_t>(request.size());
  iovec parts[2] = {{&size, sizeof size}, {const_cast<char*>(request.data()), request.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  while (message.msg_iovlen > 0) {
    const ssize_t put = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EAGAIN) {
      if (const Io waited = wait_for(fd, POLLOUT, deadline); waited != Io::done) return waited;
      continue;
    }
    if (put < 0) return Io::gone;
    for (auto left = static_cast<std::size_t>(put); message.msg_iovlen > 0;) {
      iovec& part = *message.msg_iov;
      const std::size_t step = std::min(left, part.iov_len);
      part = {static_cast<char*>(part.iov_base) + step, part.iov_len - step};
      left -= step;
      if (part.iov_len > 0) break;
      ++message.msg_iov;
      --message.msg_iovlen;
    }
  }
  return Io::done;
}

Io receive_all(int fd, void* to, std::size_t n, Steady::time_point deadline) {
  for (auto* at = static_cast<char*>(to); n > 0;) {
    const ssize_t got = recv(fd, at, n, MSG_DONTWAIT);
    if (got > 0) {
      at += got;
      n -= static_cast<std::size_t>(got);
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got == 0 || errno != EAGAIN) return Io::gone;
    if (const Io waited = wait_for(fd, POLLIN, deadline); waited != Io::done) return waited;
  }
  return Io::done;
}

std::string signal_name(int number) {
  const char* name = sigabbrev_np(number);
  return name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(number);
}

Sentence how_it_died(int status) {
  if (WIFEXITED(status)) return say("parser_ended", "the parser's process ended by itself (code {number})", {{"number", WEXITSTATUS(status)}});
  const int number = WTERMSIG(status);
  if (number == SIGSYS) return say("parser_sigsys", "the parser asked the system for something it may not have (SIGSYS)");
  return say("parser_signal", "the parser's process died of signal {number} ({name})", {{"number", number}, {"name", signal_name(number)}});
}

// Runs argv[0] with `socket` as its descriptor 3 and no other of ours but 0, 1, 2. 0, or an errno.
int spawn_program(const std::vector<std::string>& words, int socket, pid_t& pid) {
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, socket, 3);
  posix_spawn_file_actions_addclosefrom_np(&actions, 4);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  const int error = posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) pid = 0;
  return error;
}

std::string seconds(std::chrono::milliseconds time) {
  const std::string text = std::to_string(time.count() / 1000.0);
  return text.substr(0, text.find('.') + 2) + " s";
}

// A zygote that ends is started anew, but not for ever at once.
constexpr std::size_t restarts_at_most = 5;
constexpr std::chrono::seconds restarts_within{30}, zygote_answers_within{10};

constexpr const char* quarantine = "this document is left out; others go on";

}  // namespace

struct Sandbox::State {
  SandboxOptions options;
  pid_t zygote = 0;
  int control = -1;
  std::mutex control_mutex;  // one question to the zygote at a time; guards all above and:
  unsigned generation = 0;
  std::vector<Steady::time_point> restarts;  // the latest

  mutable std::mutex mutex;
  std::condition_variable free;
  std::vector<Worker> idle;
  std::size_t live = 0;  // idle or working
  std::optional<SandboxFeatures> features;

  ~State() {
    for (const Worker& worker : idle) close(worker.fd);
    if (control >= 0) close(control);
    while (zygote > 0 && waitpid(zygote, nullptr, 0) < 0 && errno == EINTR) {}
  }

  struct Told {
    int value = 0;
    unsigned generation = 0;
  };

  // Nothing: the zygote is gone, or does not answer.
  std::optional<int> exchange(Command command, int passed) const {
    iovec part{&command, sizeof command};
    alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (passed >= 0) {
      message.msg_control = space;
      message.msg_controllen = sizeof space;
      cmsghdr* const head = CMSG_FIRSTHDR(&message);
      *head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
      memcpy(CMSG_DATA(head), &passed, sizeof passed);
    }
    Reply reply{};
    ssize_t n;
    do n = sendmsg(control, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n == sizeof command) do
        n = recv(control, &reply, sizeof reply, 0);
      while (n < 0 && errno == EINTR);
    return n == sizeof reply ? std::optional(reply.value) : std::nullopt;
  }

  Result<Told> fork_into(int socket) {
    const std::scoped_lock lock(control_mutex);
    std::optional<int> pid = exchange({Order::fork, 0}, socket);
    if (!pid) {
      TRY(restart());
      pid = exchange({Order::fork, 0}, socket);
    }
    if (!pid) return fail(Code::unavailable, say("zygote_ends", "the process that starts parsers ends at once"), {}, "the system's log may say who ends it");
    return Told{*pid, generation};
  }

  // The worker's wait status. Nothing: it went with its zygote.
  std::optional<int> reap(const Worker& worker) {
    const std::scoped_lock lock(control_mutex);
    return worker.generation == generation ? exchange({Order::reap, worker.pid}, -1) : std::nullopt;
  }

  // The zygote ended, of which no document is the cause: it never sees one. By now this process has threads, models and readers' things in its memory, and a
  // parser must have none of them: no fork of it then, but the program anew.
  Status restart() {
    const auto gone = [](Sentence what) { return fail(Code::unavailable, std::move(what), {}, "restart weir"); };
    if (options.anew.empty()) return gone(say("zygote_gone", "the process that starts parsers is gone"));
    const Steady::time_point now = Steady::now();
    std::erase_if(restarts, [&](Steady::time_point at) { return now - at > restarts_within; });
    if (restarts.size() >= restarts_at_most)
      return fail(Code::unavailable, say("zygote_ended_often", "the process that starts parsers ended too often: it is left alone for half a minute"), {},
                  "the system's log may say who ends it");
    restarts.push_back(now);
    if (zygote > 0) {
      kill(zygote, SIGKILL);
      int status = 0;
      while (waitpid(zygote, &status, 0) < 0 && errno == EINTR) {}
      log_warn("sandbox", "the process that starts parsers ended ({}); it is started again", WIFSIGNALED(status) ? signal_name(WTERMSIG(status)) : "by itself");
      zygote = 0;
    }
    close(std::exchange(control, -1));
    ++generation;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
      return gone(say("zygote_no_socket", "the process that starts parsers is gone, and there is no socket for another: {reason}",
                      {{"reason", strerrordesc_np(errno)}}));
    control = ends[0];
    set_timeout(control, SO_RCVTIMEO, zygote_answers_within);
    const int error = spawn_program(options.anew, ends[1], zygote);
    close(ends[1]);
    if (error != 0)
      return gone(
          say("zygote_not_again", "the process that starts parsers is gone, and another cannot be started: {reason}", {{"reason", strerrordesc_np(error)}}));
    return {};
  }

  Result<Worker> spawn() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      return fail(Code::unavailable, say("no_socket_parser", "no socket for a parser: {reason}", {{"reason", strerrordesc_np(errno)}}), {},
                  "raise the limit of open files");
    const int buffer = 1 << 20;
    for (const int end : ends) setsockopt(end, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    const Result<Told> told = fork_into(ends[1]);
    close(ends[1]);
    if (!told || told->value <= 0) {
      close(ends[0]);
      return told ? fail(Code::unavailable, say("no_process_parser", "no process for a parser: {reason}", {{"reason", strerrordesc_np(-told->value)}}), {},
                         "raise the limit of processes, or free memory")
                  : std::unexpected(told.error());
    }
    Worker out{told->value, ends[0], told->generation, 0};
    Hello hello;
    if (receive_all(out.fd, &hello, sizeof hello, Steady::now() + std::chrono::seconds(10)) != Io::done) {
      const std::optional<int> status = end(out);
      Sentence what = say("not_confined", "a parser could not be confined");
      if (status) what.text += ": " + how_it_died(*status).text;
      return fail(Code::unavailable, std::move(what), {}, "weir doctor says what this kernel offers");
    }
    const std::scoped_lock lock(mutex);
    features = hello.features;
    return out;
  }

  std::optional<int> end(Worker& worker) {
    close(worker.fd);
    return reap(worker);
  }

  // A worker that waits for work, if need be a new one.
  Result<Worker> take() {
    std::unique_lock lock(mutex);
    for (;;) {
      free.wait(lock, [&] { return !idle.empty() || live < options.workers; });
      if (idle.empty()) break;
      Worker worker = idle.back();
      idle.pop_back();
      pollfd one{worker.fd, POLLIN, 0};
      if (poll(&one, 1, 0) == 0) return worker;
      --live;  // it ended for want of work, or speaks without being asked
      lock.unlock();
      static_cast<void>(end(worker));
      lock.lock();
    }
    ++live;
    lock.unlock();
    Result<Worker> worker = spawn();
    if (!worker) gone();
    return worker;
  }

  void give_back(Worker worker) {
    if (++worker.documents >= options.documents_per_worker) {
      static_cast<void>(end(worker));  // how it ends does not matter
      gone();
      return;
    }
    const std::scoped_lock lock(mutex);
    idle.push_back(worker);
    free.notify_one();
  }

  void gone() {
    const std::scoped_lock lock(mutex);
    --live;
    free.notify_one();
  }

  // What became of a document whose worker did not answer as it should.
  Error lost(Worker& worker, Io how) {
    const std::optional<int> status = end(worker);
    gone();
    if (!status) return failure(Code::unavailable, say("zygote_and_parser", "the process that starts parsers ended, and the parser with it"));
    if (how == Io::timeout)
      return failure(Code::timeout, say("parsing_long", "parsing took more than {time}", {{"time", seconds(options.wall)}}), {}, quarantine);
    if (WIFSIGNALED(*status) && (WTERMSIG(*status) == SIGPROF || WTERMSIG(*status) == SIGXCPU))
      return failure(Code::timeout, say("parsing_cpu", "parsing took more than {time} of processor time", {{"time", seconds(options.cpu)}}), {}, quarantine);
    return failure(Code::crashed, how_it_died(*status), {}, quarantine);
  }

  Result<std::string> answer(Worker& worker, Steady::time_point deadline, Io& how) {
    AnswerHead head{};
    how = receive_all(worker.fd, &head, sizeof head, deadline);
    if (how != Io::done) return fail(Code::crashed, "");
    const bool odd = head.outcome != Outcome::answered;
    if (odd || head.size > options.answer_limit) {
      static_cast<void>(end(worker));
      gone();
      if (head.outcome == Outcome::out_of_memory)
        return fail(Code::crashed, say("parsing_memory", "parsing needed more than {limit} MB of memory", {{"limit", options.memory >> 20}}), {}, quarantine);
      if (odd) return fail(Code::crashed, say("parser_failed", "the parser failed on this document"), {}, quarantine);
      return fail(Code::too_large, say("answer_too_large", "the parser's answer is larger than {limit} MB", {{"limit", options.answer_limit >> 20}}), {},
                  quarantine);
    }
    std::string out;
    while (out.size() < head.size && how == Io::done) {  // memory grows with what has arrived, not with what was announced
      const std::size_t at = out.size(), step = std::min<std::size_t>(head.size - at, std::max<std::size_t>(at, 4u << 20));
      out.resize(at + step);
      how = receive_all(worker.fd, out.data() + at, step, deadline);
    }
    if (how != Io::done) return fail(Code::crashed, "");
    return out;
  }
};

Result<std::unique_ptr<Sandbox>> Sandbox::start(const SandboxOptions& options) {
  CHECK(options.handler != nullptr && options.workers > 0 && options.request_limit <= UINT32_MAX);
  if (!has_seccomp())
    return fail(Code::refused, "this kernel cannot confine a process (no seccomp)", {},
                "run a kernel with CONFIG_SECCOMP_FILTER; containers: allow the seccomp system call");
  auto state = std::make_unique<State>();
  state->options = options;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return fail(Code::io, std::string("no socket for the sandbox: ") + strerrordesc_np(errno));
  state->control = ends[0];
  set_timeout(state->control, SO_RCVTIMEO, zygote_answers_within);
  state->zygote = fork();
  if (state->zygote == 0) become_zygote(ends[1], options);
  const int error = errno;
  close(ends[1]);
  if (state->zygote < 0) return fail(Code::io, std::string("no process for the sandbox: ") + strerrordesc_np(error));
  return std::unique_ptr<Sandbox>(new Sandbox(std::move(state)));
}

void Sandbox::become_zygote_anew(const SandboxOptions& options) { become_zygote(3, options); }

Sandbox::Sandbox(std::unique_ptr<State> state) : state_(std::move(state)) {}
Sandbox::~Sandbox() = default;

Result<std::string> Sandbox::run(std::string_view request) {
  State& state = *state_;
  if (request.size() > state.options.request_limit)
    return fail(Code::too_large, say("request_too_large", "the document is larger than {limit} MB", {{"limit", state.options.request_limit >> 20}}));
  for (bool again = true;; again = false) {
    Worker worker = TRY(state.take());
    const Steady::time_point deadline = Steady::now() + state.options.wall;
    Io how = send_request(worker.fd, request, deadline);
    if (how == Io::done) {
      Result<std::string> out = state.answer(worker, deadline, how);
      if (out) state.give_back(worker);
      if (out || how == Io::done) return out;
    }
    const bool was_idle = worker.documents > 0;
    Error error = state.lost(worker, how);
    // It may have ended for want of work just when we came, or with its zygote: the document is not to blame the first time.
    if (again && was_idle && error.code == Code::crashed && error.message.ends_with("(code 0)")) continue;
    if (again && error.code == Code::unavailable) continue;
    return std::unexpected(std::move(error));
  }
}

SandboxFeatures Sandbox::features() {
  {
    const std::scoped_lock lock(state_->mutex);
    if (state_->features) return *state_->features;
  }
  if (Result<Worker> worker = state_->take()) state_->give_back(*worker);
  const std::scoped_lock lock(state_->mutex);
  return state_->features.value_or(SandboxFeatures{});
}

std::size_t Sandbox::processes() const {
  const std::scoped_lock lock(state_->mutex);
  std::size_t ended = 0;
  for (const Worker& worker : state_->idle) {
    pollfd one{worker.fd, POLLIN, 0};
    ended += poll(&one, 1, 0) != 0 ? 1 : 0;
  }
  return 1 + state_->live - ended;
}

}  // namespace weir
