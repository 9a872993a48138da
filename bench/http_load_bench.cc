// weir_http_load_bench HOST:PORT TOKEN RATE CONNECTIONS SECONDS < TARGETS      the "50 clients" of a reader: one process, one thread, hardly any processor
//
// TARGETS: `GET PATH`, or `METHOD PATH JSON`, one a line; they are asked in turn. An open loop: request k is due at k/RATE whether or not earlier ones are
// answered, goes out on a free connection, and its time counts from when it was due, so that a server that stalls cannot hide it. RATE 0: a closed loop, each
// connection asks again when it is answered. Prints a JSON line: times in ms, answers that were not 2xx, this client's own CPU seconds.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

[[noreturn]] void give_up(std::string_view what) {
  fmt::print(stderr, "weir_http_load_bench: {}: {}\n", what, std::strerror(errno));
  std::exit(1);
}

struct Connection {
  int fd = -1;
  double due = 0;
  std::string answer;     // what has come of it
  std::size_t whole = 0;  // its length, once the head is there
  bool busy = false;
};

int dial(const sockaddr_in& to) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) give_up("no connection");
  const int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

void send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) give_up("cannot send");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

// Reads what is there. True when the answer is whole.
bool receive(Connection& one) {
  static std::vector<char> buffer(1 << 18);
  const auto n = ::recv(one.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (n < 0 && errno == EAGAIN) return false;
  if (n <= 0) give_up("the server closed a connection");
  one.answer.append(buffer.data(), static_cast<std::size_t>(n));
  if (one.whole == 0) {
    const auto head = one.answer.find("\r\n\r\n");
    if (head == std::string::npos) return false;
    const auto length = one.answer.find("Content-Length: ");
    one.whole = head + 4 + (length < head ? std::strtoull(one.answer.c_str() + length + 16, nullptr, 10) : 0);
  }
  return one.answer.size() >= one.whole;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view address = argc == 6 ? argv[1] : "";
  const auto colon = address.find(':');
  if (colon == std::string_view::npos) return std::fputs("usage: weir_http_load_bench HOST:PORT TOKEN RATE CONNECTIONS SECONDS < TARGETS\n", stderr), 2;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[1] + colon + 1)));
  if (::inet_pton(AF_INET, std::string(address.substr(0, colon)).c_str(), &to.sin_addr) != 1) give_up("HOST is an IPv4 address");
  const double rate = std::atof(argv[3]), seconds = std::atof(argv[5]);
  std::vector<std::string> requests;
  for (std::string line; std::getline(std::cin, line);) {
    const auto method = line.find(' '), path = line.find(' ', method + 1);
    const std::string body = path == std::string::npos ? "" : line.substr(path + 1);
    std::string request = fmt::format("{} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n", line.substr(0, path), address, argv[2]);
    if (!body.empty()) request += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
    requests.push_back(request + "\r\n" + body);
  }
  if (requests.empty()) return std::fputs("no TARGETS on stdin\n", stderr), 2;

  std::vector<Connection> connections(static_cast<std::size_t>(std::max(1, std::atoi(argv[4]))));
  const int poll = ::epoll_create1(0);
  std::deque<Connection*> free;  // the one that has waited longest goes first: none falls asleep
  for (Connection& one : connections) {
    one.fd = dial(to);
    epoll_event event{.events = EPOLLIN, .data = {.ptr = &one}};
    ::epoll_ctl(poll, EPOLL_CTL_ADD, one.fd, &event);
    free.push_back(&one);
  }

  std::vector<double> times;
  std::size_t asked = 0, busy = 0, failed = 0;
  const double begin = now() + 0.05, end = begin + seconds;
  const auto due = [&] { return rate > 0 ? begin + static_cast<double>(asked) / rate : now(); };
  while (due() < end || busy > 0) {
    while (!free.empty() && due() < end && due() <= now()) {
      Connection& one = *free.front();
      free.pop_front();
      one = {.fd = one.fd, .due = due(), .answer = std::move(one.answer), .whole = 0, .busy = true};
      one.answer.clear();
      send_all(one.fd, requests[asked++ % requests.size()]);
      ++busy;
    }
    const double wait = due() < end && !free.empty() ? std::max(0.0, due() - now()) : 1.0;
    timespec patience{.tv_sec = static_cast<time_t>(wait), .tv_nsec = static_cast<long>((wait - static_cast<double>(static_cast<time_t>(wait))) * 1e9)};
    epoll_event events[64];
    const int n = ::epoll_pwait2(poll, events, 64, &patience, nullptr);
    for (int i = 0; i < n; ++i) {
      Connection& one = *static_cast<Connection*>(events[i].data.ptr);
      if (!one.busy) give_up("an answer that nobody asked for");
      if (!receive(one)) continue;
      times.push_back(now() - one.due);
      if (!std::string_view(one.answer).starts_with("HTTP/1.1 2")) ++failed;
      one.busy = false;
      --busy;
      free.push_back(&one);
    }
  }
  std::ranges::sort(times);
  const auto at = [&](std::size_t percent) { return times[std::min(times.size() - 1, times.size() * percent / 100)] * 1e3; };
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto cpu = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  fmt::print("{{\"requests\":{},\"not_2xx\":{},\"p50\":{:.3f},\"p99\":{:.3f},\"max\":{:.3f},\"client_cpu_s\":{:.2f}}}\n", times.size(), failed, at(50), at(99),
             times.back() * 1e3, cpu(used.ru_utime) + cpu(used.ru_stime));
  return 0;
}
