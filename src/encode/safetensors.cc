#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/json.h"
#include "encode/shown.h"
#include "encode/weights.h"

namespace weir {
namespace {

constexpr std::size_t header_limit = std::size_t{8} << 20U, tensors_limit = 10'000;

struct Dtype {
  std::string_view name;
  std::size_t bytes;
  Tensor::Kind kind;
};
constexpr Dtype dtypes[] = {{"F32", 4, Tensor::Kind::f32},   {"F16", 2, Tensor::Kind::f16},   {"BF16", 2, Tensor::Kind::bf16},
                            {"F64", 8, Tensor::Kind::other}, {"I64", 8, Tensor::Kind::other}, {"I32", 4, Tensor::Kind::other},
                            {"U8", 1, Tensor::Kind::other},  {"I8", 1, Tensor::Kind::other},  {"BOOL", 1, Tensor::Kind::other}};

struct Extent {
  std::size_t begin, end;
};

Result<Extent> parse_entry(std::string_view name, const json::object& entry, std::span<const std::byte> data, Tensors& out) {
  const auto wrong = [&](std::string what) { return fail(Code::corrupt, std::move(what), std::string(name)); };
  const auto dtype = find_string(entry, "dtype");
  const json::array* shape = find_array(entry, "shape");
  const json::array* offsets = find_array(entry, "data_offsets");
  if (!dtype || shape == nullptr || offsets == nullptr || offsets->size() != 2)
    return wrong(fmt::format("expected dtype, shape and two data_offsets, found {}", shown(json::serialize(entry))));
  const auto* type = std::ranges::find(dtypes, *dtype, &Dtype::name);
  if (type == std::end(dtypes)) return wrong(fmt::format("dtype: expected F32, F16 or BF16, found {}", shown(*dtype)));
  std::size_t bytes = type->bytes;
  std::vector<std::size_t> dims;
  if (shape->size() > 8) return wrong(fmt::format("expected at most 8 dimensions, found {}", shape->size()));
  for (const json::value& v : *shape) {
    const auto n = v.is_int64() ? v.get_int64() : -1;
    if (n < 0) return wrong(fmt::format("shape: expected sizes, found {}", shown(&v)));
    if (__builtin_mul_overflow(bytes, static_cast<std::size_t>(n), &bytes))
      return wrong(fmt::format("its shape: expected at most the file's {} bytes, found more than 2⁶⁴", data.size()));
    dims.push_back(static_cast<std::size_t>(n));
  }
  const auto number = [](const json::value& v) { return v.is_int64() && v.get_int64() >= 0 ? static_cast<std::size_t>(v.get_int64()) : SIZE_MAX; };
  const Extent extent{number(offsets->at(0)), number(offsets->at(1))};
  if (extent.begin > extent.end || extent.end > data.size())
    return wrong(fmt::format("its data: expected to end at {} or before, found {} to {}", data.size(), extent.begin, extent.end));
  if (extent.end - extent.begin != bytes) return wrong(fmt::format("its data: expected {} bytes by its shape, found {}", bytes, extent.end - extent.begin));
  Tensor& tensor = out[std::string(name)];
  tensor = {.kind = Tensor::Kind::other, .found = type->name};
  if (dims.empty() || dims.size() > 2) tensor.found = dims.empty() ? "a single number" : "more than two dimensions";
  else if (type->kind != Tensor::Kind::other) tensor = {type->kind, data.data() + extent.begin, dims.size() == 2 ? dims[0] : 1, dims.back()};
  return extent;  // of what is not for us too
}

}  // namespace

Result<Tensors> parse_safetensors(std::span<const std::byte> bytes) {
  if (bytes.size() < 8) return fail(Code::corrupt, fmt::format("expected a safetensors file, found one of {} bytes", bytes.size()));
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  if (header > std::min(header_limit, bytes.size() - 8))
    return fail(Code::corrupt, fmt::format("expected a safetensors header of at most {} bytes, found {}", std::min(header_limit, bytes.size() - 8), header));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, header);
  const std::span<const std::byte> data = bytes.subspan(8 + header);
  const json::value document = TRY(parse_json(text, 8));
  const json::object* root = document.if_object();
  if (root == nullptr) return fail(Code::corrupt, fmt::format("the header: expected a JSON object, found {}", shown(&document)));
  if (root->size() > tensors_limit) return fail(Code::corrupt, fmt::format("expected at most {} tensors, found {}", tensors_limit, root->size()));
  Tensors tensors;
  std::vector<Extent> extents;
  for (const auto& [name, value] : *root) {
    if (name == "__metadata__") continue;
    const json::object* entry = value.if_object();
    if (entry == nullptr) return fail(Code::corrupt, fmt::format("expected an object, found {}", shown(&value)), std::string(name));
    extents.push_back(TRY(parse_entry(name, *entry, data, tensors)));
  }
  std::ranges::sort(extents, {}, [](const Extent& e) { return std::pair(e.begin, e.end); });
  std::size_t end = 0;
  for (const Extent& e : extents) {
    if (e.begin != end)
      return fail(Code::corrupt, fmt::format("expected a tensor's data to begin at byte {}, found {}: they overlap or leave a gap", end, e.begin));
    end = e.end;
  }
  if (end != data.size())
    return fail(Code::corrupt, fmt::format("expected the file's data to end with the last tensor's at byte {}, found {}", end, data.size()));
  return tensors;
}

}  // namespace weir
