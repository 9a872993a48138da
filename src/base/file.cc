#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace weir {
namespace {

std::string reason(int number) {
  char buffer[128];
  return strerror_r(number, buffer, sizeof buffer);  // the GNU form: thread safe
}

std::unexpected<Error> failed(const std::filesystem::path& path, std::string_view doing) {
  const int number = errno;
  const char* remedy = number == ENOENT   ? "check the name"
                       : number == EACCES ? "give this user the right to it"
                       : number == ENOSPC ? "free space on this disk"
                       : number == EROFS  ? "name a file on a disk that can be written"
                                          : "";
  return fail(number == ENOENT ? Code::not_found : Code::io, std::string(doing) + ": " + reason(number), path.string(), remedy);
}

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd > 0) ::close(fd);
  }
};

}  // namespace

Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit) {
  const Descriptor file{path == "-" ? 0 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return failed(path, "cannot open");
  struct stat info{};
  if (::fstat(file.fd, &info) == 0 && S_ISDIR(info.st_mode)) return fail(Code::invalid, "is a folder, not a file", path.string(), "name a file");
  std::string out;
  if (S_ISREG(info.st_mode)) out.reserve(std::min<std::size_t>(static_cast<std::size_t>(info.st_size), limit) + 1);
  std::size_t size = 0;
  while (true) {
    if (size == out.size()) out.resize(out.capacity() > size ? out.capacity() : size + 65536);
    const ssize_t got = ::read(file.fd, out.data() + size, out.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(path, "cannot read");
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
    if (size > limit) return fail(Code::too_large, "is larger than the limit of " + std::to_string(limit) + " bytes", path.string());
  }
  out.resize(size);
  return out;
}

Status write_file(const std::filesystem::path& path, std::string_view bytes, unsigned mode) {
  std::filesystem::path part = path;
  part += ".part";
  {
    const Descriptor file{::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)};
    if (file.fd < 0) return failed(part, "cannot create");
    while (!bytes.empty()) {
      const ssize_t put = ::write(file.fd, bytes.data(), bytes.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) {
        auto error = failed(part, "cannot write");
        ::unlink(part.c_str());
        return error;
      }
      bytes.remove_prefix(static_cast<std::size_t>(put));
    }
    if (::fsync(file.fd) != 0) {
      auto error = failed(part, "cannot sync");
      ::unlink(part.c_str());
      return error;
    }
  }
  if (::rename(part.c_str(), path.c_str()) != 0) {
    auto error = failed(path, "cannot rename to");
    ::unlink(part.c_str());
    return error;
  }
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const Descriptor dir{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (dir.fd >= 0 && ::fsync(dir.fd) != 0) return failed(folder, "cannot sync the folder");
  return {};
}

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return failed(path, "cannot open");
  struct stat info{};
  if (::fstat(file.fd, &info) != 0) return failed(path, "cannot stat");
  if (!S_ISREG(info.st_mode)) return fail(Code::invalid, "is not a regular file", path.string());
  MappedFile out;
  out.size_ = static_cast<std::size_t>(info.st_size);
  if (out.size_ == 0) return out;
  void* data = ::mmap(nullptr, out.size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (data == MAP_FAILED) return failed(path, "cannot map");
  out.data_ = data;
  return out;
}

MappedFile::MappedFile(MappedFile&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(data_, size_);
}

}  // namespace weir
