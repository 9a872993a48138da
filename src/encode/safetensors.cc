#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/json.h"
#include "encode/weights.h"

namespace weir {
namespace {

constexpr std::size_t header_limit = std::size_t{8} << 20U, tensors_limit = 10'000;

struct Dtype {
  std::string_view name;
  std::size_t bytes;
  bool weights;
  Tensor::Kind kind;
};
constexpr Dtype dtypes[] = {{"F32", 4, true, Tensor::Kind::f32},  {"F16", 2, true, Tensor::Kind::f16},  {"BF16", 2, true, Tensor::Kind::bf16},
                            {"I64", 8, false, Tensor::Kind::f32}, {"I32", 4, false, Tensor::Kind::f32}, {"U8", 1, false, Tensor::Kind::f32},
                            {"I8", 1, false, Tensor::Kind::f32},  {"BOOL", 1, false, Tensor::Kind::f32}};

struct Extent {
  std::size_t begin, end;
};

Result<Extent> parse_entry(std::string_view name, const json::object& entry, std::span<const std::byte> data, Tensors& out) {
  const auto wrong = [&](std::string what) { return fail(Code::corrupt, std::move(what), std::string(name)); };
  const auto dtype = find_string(entry, "dtype");
  const json::array* shape = find_array(entry, "shape");
  const json::array* offsets = find_array(entry, "data_offsets");
  if (!dtype || shape == nullptr || offsets == nullptr || offsets->size() != 2) return wrong("expected dtype, shape and two data_offsets");
  const auto* type = std::ranges::find(dtypes, *dtype, &Dtype::name);
  if (type == std::end(dtypes)) return wrong(fmt::format("unknown dtype {}", *dtype));
  std::size_t bytes = type->bytes;
  std::vector<std::size_t> dims;
  for (const json::value& v : *shape) {
    const auto n = v.is_int64() ? v.get_int64() : -1;
    if (n < 0 || dims.size() == 8 || __builtin_mul_overflow(bytes, static_cast<std::size_t>(n), &bytes)) return wrong("a dimension that is no size");
    dims.push_back(static_cast<std::size_t>(n));
  }
  const auto number = [](const json::value& v) { return v.is_int64() && v.get_int64() >= 0 ? static_cast<std::size_t>(v.get_int64()) : SIZE_MAX; };
  const Extent extent{number(offsets->at(0)), number(offsets->at(1))};
  if (extent.begin > extent.end || extent.end > data.size()) return wrong(fmt::format("its data end at {}, the file's at {}", extent.end, data.size()));
  if (extent.end - extent.begin != bytes) return wrong(fmt::format("its shape needs {} bytes, its offsets give {}", bytes, extent.end - extent.begin));
  if (!type->weights || dims.empty() || dims.size() > 2) return extent;  // not for us; its extent counts all the same
  out[std::string(name)] = {type->kind, data.data() + extent.begin, dims.size() == 2 ? dims[0] : 1, dims.back()};
  return extent;
}

}  // namespace

Result<Tensors> parse_safetensors(std::span<const std::byte> bytes) {
  if (bytes.size() < 8) return fail(Code::corrupt, fmt::format("{} bytes are no safetensors file", bytes.size()));
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  if (header > std::min(header_limit, bytes.size() - 8)) return fail(Code::corrupt, fmt::format("a header of {} bytes in a file of {}", header, bytes.size()));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, header);
  const std::span<const std::byte> data = bytes.subspan(8 + header);
  const json::value document = TRY(parse_json(text, 8));
  const json::object* root = document.if_object();
  if (root == nullptr) return fail(Code::corrupt, "the header is no JSON object");
  if (root->size() > tensors_limit) return fail(Code::corrupt, fmt::format("{} tensors; at most {} are read", root->size(), tensors_limit));
  Tensors tensors;
  std::vector<Extent> extents;
  for (const auto& [name, value] : *root) {
    if (name == "__metadata__") continue;
    const json::object* entry = value.if_object();
    if (entry == nullptr) return fail(Code::corrupt, "expected an object", std::string(name));
    extents.push_back(TRY(parse_entry(name, *entry, data, tensors)));
  }
  std::ranges::sort(extents, {}, [](const Extent& e) { return std::pair(e.begin, e.end); });
  std::size_t end = 0;
  for (const Extent& e : extents) {
    if (e.begin != end) return fail(Code::corrupt, fmt::format("tensors overlap or leave a gap at byte {}", std::min(e.begin, end)));
    end = e.end;
  }
  if (end != data.size()) return fail(Code::corrupt, fmt::format("{} bytes after the last tensor", data.size() - end));
  return tensors;
}

}  // namespace weir
