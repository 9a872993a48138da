// The configuration file: settings, or an error that names the file.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "cli/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  static const int file = ::memfd_create("weir.toml", MFD_CLOEXEC);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  CHECK(::ftruncate(file, 0) == 0 && ::pwrite(file, data, size, 0) == static_cast<ssize_t>(size));
  cli::Options options;
  std::string listen;
  const Status status = cli::settle(options, "/nonexistent", path, {}, false, listen);
  if (status) CHECK(!listen.empty());
  else CHECK(!status.error().message.empty() && status.error().where.starts_with(path));
  return 0;
}
