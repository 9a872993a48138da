// Files: whole reads with a limit, whole writes that are there or not, and read-only mappings.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir {

// Errors: not_found, too_large (bigger than `limit` bytes), io. "-" is standard input.
Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit = std::size_t{1} << 30);

// Writes beside `path`, syncs, renames: a reader sees the old file or the new one. `mode` as for open(2).
Status write_file(const std::filesystem::path& path, std::string_view bytes, unsigned mode = 0644);

// A read-only mapping, unmapped by the destructor. Move only. Any thread may read.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::filesystem::path& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();
  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace weir
