#include "http/assets.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <span>
#include <utility>

#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "http/parse.h"

namespace weir::http {

std::span<const EmbeddedAsset> embedded_assets();  // of the file that cmake/embed.cmake writes; by path

namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 14> types{{
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".json", "application/json"},
    {".webmanifest", "application/manifest+json"},
    {".txt", "text/plain; charset=utf-8"},
    {".opml", "text/x-opml; charset=utf-8"},
    {".ico", "image/x-icon"},
    {".png", "image/png"},
    {".webp", "image/webp"},
    {".jpg", "image/jpeg"},
    {".woff2", "font/woff2"},
    {".wasm", "application/wasm"},
    {".map", "application/json"},
}};

std::string_view type_of(std::string_view path) {
  for (const auto& [end, type] : types)
    if (path.ends_with(end)) return type;
  return "application/octet-stream";
}

// The two files of pages that need no reader (pages.cc). Their names hold no hash: they are asked for again.
constexpr std::string_view form_css =
    "body{font:16px/1.5 system-ui,sans-serif;color-scheme:light dark;margin:10vh auto;max-width:24rem;padding:0 1rem}"
    "input{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.4rem}button{font:inherit;padding:.4rem 1rem}";
constexpr std::string_view form_js = "document.forms[0].submit();";
constexpr std::array<EmbeddedAsset, 2> form_assets{{{"assets/form.css", form_css, {}, {}}, {"assets/form.js", form_js, {}, {}}}};

// "assets/main-1a2b3c4d5e.js": ten hex digits of its content stand before the ending.
bool has_hash(std::string_view path) {
  const auto dot = path.rfind('.'), dash = path.rfind('-', dot);
  if (!path.starts_with("assets/") || dot == std::string_view::npos || dash == std::string_view::npos || dot < dash + 9) return false;
  return std::ranges::all_of(path.substr(dash + 1, dot - dash - 1), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Result<Asset> from_folder(const std::string& folder, std::string_view path) {
  auto bytes = std::make_shared<std::string>(TRY(read_file(std::filesystem::path(folder) / path, std::size_t{16} << 20)));
  Asset asset{.bytes = *bytes, .type = std::string(type_of(path)), .cache = "no-cache"};
  asset.owned = std::move(bytes);
  return asset;
}

const EmbeddedAsset* find_in(std::span<const EmbeddedAsset> table, std::string_view path) {
  const auto found = std::ranges::find(table, path, &EmbeddedAsset::path);
  return found == table.end() ? nullptr : &*found;
}

}  // namespace

Result<Asset> find_asset(const std::string& folder, std::string_view path, std::string_view accept_encoding) {
  const EmbeddedAsset* row = find_in(form_assets, path);
  if (!row && !folder.empty()) return from_folder(folder, path);
  if (!row) row = find_in(embedded_assets(), path);
  if (!row) return fail(Code::not_found, "there is no such file");
  Asset asset{.bytes = row->bytes, .type = std::string(type_of(path))};
  if (!row->br.empty() && accepts_encoding(accept_encoding, "br")) {
    asset.bytes = row->br;
    asset.encoding = "br";
  } else if (!row->gz.empty() && accepts_encoding(accept_encoding, "gzip")) {
    asset.bytes = row->gz;
    asset.encoding = "gzip";
  }
  asset.etag = "\"" + to_hex(sha256(asset.bytes)).substr(0, 20) + "\"";
  asset.cache = has_hash(path) ? "public, max-age=31536000, immutable" : "no-cache";
  return asset;
}

}  // namespace weir::http
