// Hashes: xxh3 for tables and caches, SHA-256 for files and tokens. Neither is a password hash (that is argon2id, in engine).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir {

std::uint64_t xxh3(std::string_view bytes, std::uint64_t seed = 0);

using Sha256 = std::array<unsigned char, 32>;
Sha256 sha256(std::string_view bytes);
Result<Sha256> sha256_file(const std::filesystem::path& path);

std::string to_hex(std::string_view bytes);
std::string to_hex(const Sha256& hash);

// n bytes from the system's random source, as they are.
std::string random_bytes(std::size_t n);

}  // namespace weir
