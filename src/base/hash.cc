#include "base/hash.h"

#include <openssl/evp.h>
#include <sys/random.h>
#include <xxhash.h>

#include <algorithm>

#include "base/file.h"

namespace weir {

std::uint64_t xxh3(std::string_view bytes, std::uint64_t seed) { return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed); }

Sha256 sha256(std::string_view bytes) {
  Sha256 out{};
  unsigned size = out.size();
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);  // looked up once: for short texts the look-up costs more than the hash
  CHECK(EVP_Digest(bytes.data(), bytes.size(), out.data(), &size, algorithm, nullptr) == 1);
  return out;
}

Result<Sha256> sha256_file(const std::filesystem::path& path) {
  const MappedFile file = TRY(MappedFile::open(path));
  return sha256({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
}

std::string to_hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    out += digits[static_cast<unsigned char>(c) >> 4];
    out += digits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

std::string to_hex(const Sha256& hash) { return to_hex({reinterpret_cast<const char*>(hash.data()), hash.size()}); }

std::string random_bytes(std::size_t n) {
  std::string out(n, '\0');
  for (std::size_t at = 0; at < n;) {
    const ssize_t got = ::getrandom(out.data() + at, std::min<std::size_t>(n - at, 256), 0);
    CHECK(got > 0);
    at += static_cast<std::size_t>(got);
  }
  return out;
}

}  // namespace weir
