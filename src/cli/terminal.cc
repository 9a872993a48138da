#include "cli/terminal.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <system_error>

#include "base/text.h"

namespace weir::cli {
namespace {

bool wide(char32_t c) { return is_cjk(c) || (c >= 0xFF01 && c <= 0xFF60) || (c >= 0x1F300 && c <= 0x1FAFF); }

bool silent(char32_t c) {  // controls, and what turns or hides text
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x200B && c <= 0x200F) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
         (c >= 0xE0000 && c <= 0xE0FFF);
}

std::string wrapped(std::string_view text, std::string_view code) { return colour(1) ? fmt::format("\033[{}m{}\033[0m", code, text) : std::string(text); }

std::string padded(std::string text, std::size_t width) {
  const std::size_t have = columns_of(text);
  if (have < width) text.append(width - have, ' ');
  return text;
}

}  // namespace

bool colour(int fd) {
  static const bool allowed = std::getenv("NO_COLOR") == nullptr;  // NOLINT(concurrency-mt-unsafe): nobody sets it
  return allowed && ::isatty(fd) != 0;
}

std::string bold(std::string_view text) { return wrapped(text, "1"); }
std::string dim(std::string_view text) { return wrapped(text, "2"); }

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  for (std::size_t at = 0; at < text.size();) columns += wide(next_code_point(text, at)) ? 2 : 1;
  return columns;
}

std::string plain(std::string_view text, std::size_t width) {
  const std::string valid = is_valid_utf8(text) ? std::string(text) : repair_utf8(text);
  std::string out;
  std::size_t columns = 0;
  for (std::size_t at = 0; at < valid.size();) {
    char32_t c = next_code_point(valid, at);
    if (c == '\n' || c == '\t') c = width ? U' ' : c;
    else if (silent(c)) continue;
    columns += wide(c) ? 2 : 1;
    if (width && columns > width) {
      while (!out.empty() && columns_of(out) >= width) {  // room for the mark
        while (!out.empty() && (out.back() & 0xC0) == 0x80) out.pop_back();
        if (!out.empty()) out.pop_back();
      }
      return out + "…";
    }
    append_utf8(out, c);
  }
  return out;
}

std::size_t terminal_width() {
  winsize size{};
  return ::ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 120;
}

namespace {

volatile std::sig_atomic_t caught = 0;
std::string unfinished;  // set and cleared while the signals are blocked

void handle(void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // and no SA_RESTART: a read that waits must hear of it
  for (const int signal : {SIGINT, SIGTERM}) ::sigaction(signal, &action, nullptr);
}

void set_unfinished(std::string file) {
  sigset_t both, before;
  sigemptyset(&both);
  sigaddset(&both, SIGINT);
  sigaddset(&both, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &both, &before);
  unfinished = std::move(file);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

void end_gently() {
  handle([](int signal) { caught = signal; });
}

bool interrupted() { return caught != 0; }

void die_of_it() {
  ::signal(caught, SIG_DFL);
  ::raise(caught);
}

Unfinished::Unfinished(std::string file) {
  set_unfinished(std::move(file));
  handle([](int signal) {
    if (!unfinished.empty()) ::unlink(unfinished.c_str());
    ::raise(signal);  // the default again, as soon as this returns
  });
}

Unfinished::~Unfinished() {
  handle(SIG_DFL);
  set_unfinished({});
}

void print_line(std::string_view text) {
  std::fflush(stdout);
  std::string line(text);
  line += '\n';
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t put = ::write(1, rest.data(), rest.size());
    if (put > 0) rest.remove_prefix(static_cast<std::size_t>(put));
    else if (put < 0 && errno != EINTR) {
      fmt::print(stderr, "weir: standard output: {}\n", std::generic_category().message(errno));
      std::_Exit(failed);
    }
  }
}

void print_json(const json::value& value) { print_line(json::serialize(value)); }

void print_table(const std::vector<std::string>& headings, const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const std::string& heading : headings) widths.push_back(columns_of(heading));
  for (const auto& row : rows)
    for (std::size_t i = 0; i + 1 < row.size(); ++i) widths[i] = std::max(widths[i], std::min<std::size_t>(columns_of(row[i]), 40));
  std::size_t used = 0;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) used += widths[i] + 2;
  const std::size_t last = ::isatty(1) ? std::max<std::size_t>(20, terminal_width() - std::min(terminal_width(), used + 1)) : 0;
  const auto line = [&](const std::vector<std::string>& row) {
    std::string out;
    for (std::size_t i = 0; i < row.size(); ++i) out += i + 1 < row.size() ? padded(plain(row[i], 40), widths[i] + 2) : plain(row[i], last);
    return out;
  };
  if (rows.empty()) return;
  print_line(dim(line(headings)));
  for (const auto& row : rows) print_line(line(row));
}

int print_error(const Error& error, bool as_json) {
  if (as_json) {
    json::object inner{{"code", to_string(error.code)}, {"message", error.message}};
    if (!error.where.empty()) inner["where"] = error.where;
    if (!error.remedy.empty()) inner["remedy"] = error.remedy;
    const std::string text = repair_utf8(json::serialize(json::object{{"error", std::move(inner)}})) + "\n";  // a file's name may be any bytes
    std::fwrite(text.data(), 1, text.size(), stderr);
  } else {
    const std::string text = plain(error.text());
    fmt::print(stderr, "weir: {}\n", text);
  }
  return error.code == Code::invalid ? wrong_use : failed;
}

Bar::~Bar() {
  if (drawn_) fmt::print(stderr, "\r\033[K");
}

void Bar::show(std::size_t now, std::size_t of) {
  if (of == 0 || ::isatty(2) == 0) return;
  constexpr std::size_t width = 30;
  const std::size_t filled = std::min(width, width * now / of);
  fmt::print(stderr, "\r{} [{}{}] {} of {}", label_, std::string(filled, '#'), std::string(width - filled, ' '), now, of);
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace weir::cli
