#include "cli/lines.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/text.h"
#include "cli/terminal.h"

namespace weir::cli {
namespace {
constexpr std::size_t longest_line = 64u << 20;
}

LineReader::LineReader(std::vector<std::string> files, bool json_errors) : files_(std::move(files)), json_errors_(json_errors) {
  if (files_.empty()) files_.push_back("-");
}

LineReader::~LineReader() {
  if (fd_ > 0) ::close(fd_);
}

void LineReader::report(const std::string& place, const std::string& what) { report(Error{Code::malformed, what, place, ""}); }

void LineReader::report(const Error& error) {
  trouble_ = true;
  print_error(error, json_errors_);
}

void LineReader::report_unread(const std::string& file) {
  const int number = errno;
  report(Error{number == ENOENT ? Code::not_found : Code::io, "cannot be read: " + std::generic_category().message(number), file,
               number == ENOENT ? "check the name" : "name a file that this user may read"});
}

// More bytes into the buffer; false when everything is read.
bool LineReader::fill() {
  while (true) {
    if (fd_ < 0) {
      if (file_ == files_.size()) return false;
      number_ = 0;
      const std::string& name = files_[file_];
      fd_ = name == "-" ? 0 : ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
      if (fd_ < 0) {
        report_unread(name);
        ++file_;
        continue;
      }
    }
    buffer_.erase(0, at_);
    at_ = 0;
    const std::size_t have = buffer_.size();
    buffer_.resize(have + 65536);
    ssize_t got = -1;
    do got = ::read(fd_, buffer_.data() + have, 65536);
    while (got < 0 && errno == EINTR && !interrupted());
    buffer_.resize(have + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got > 0) return true;
    if (interrupted()) return false;
    if (got < 0) report_unread(files_[file_]);
    if (fd_ > 0) ::close(fd_);
    fd_ = -1;
    ++file_;
    if (!buffer_.empty()) {  // a last line without its end
      if (buffer_.back() != '\n') buffer_ += '\n';
      return true;
    }
  }
}

std::optional<LineReader::Line> LineReader::next() {
  std::size_t searched = at_;
  while (!interrupted()) {
    const std::size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      ++number_;
      const std::string& name = files_[std::min(file_, files_.size() - 1)];
      Line line{buffer_.substr(at_, end - at_), name == "-" ? fmt::format("line {}", number_) : fmt::format("{}:{}", name, number_)};
      at_ = end + 1;
      if (!line.text.empty() && line.text.back() == '\r') line.text.pop_back();
      if (trim(line.text).empty()) {
        searched = at_;
        continue;
      }
      return line;
    }
    if (buffer_.size() - at_ > longest_line) {
      report(files_[file_], fmt::format("line {} is longer than {} bytes", number_ + 1, longest_line));
      return std::nullopt;
    }
    searched = buffer_.size() - at_;  // fill() moves the rest to the front
    if (!fill()) return std::nullopt;
  }
  return std::nullopt;
}

bool LineReader::ready() {
  if (buffer_.find('\n', at_) != std::string::npos) return true;
  if (fd_ < 0) return file_ < files_.size() && files_[file_] != "-";
  pollfd one{fd_, POLLIN, 0};
  return ::poll(&one, 1, 0) > 0 && (one.revents & (POLLIN | POLLHUP)) != 0;
}

std::optional<ItemLine> next_item(LineReader& lines) {
  while (auto line = lines.next()) {
    auto value = parse_json(line->text);
    if (!value) {
      lines.report(line->place, value.error().text());
      continue;
    }
    auto item = item_from_json(*value);
    if (!item) {
      lines.report(line->place, item.error().text());
      continue;
    }
    return ItemLine{std::move(*item), std::move(line->place)};
  }
  return std::nullopt;
}

}  // namespace weir::cli
