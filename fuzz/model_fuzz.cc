// Any bytes as a model's config.json, beside weights and a tokenizer that fit the usual one: an error with its place, or an encoder that works.
#include <stdlib.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "encode/encoder.h"
#include "encode/tiny_models.h"

namespace {

struct Folder {
  std::filesystem::path path;
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-model-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path = name;
    write("model.safetensors", weir::tiny::safetensors());
    write("tokenizer.json", weir::tiny::tokenizer_json());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  void write(const char* name, std::string_view bytes) const { std::ofstream(path / name, std::ios::binary) << bytes; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  folder.write("config.json", {reinterpret_cast<const char*>(data), size});
  const auto encoder = weir::Encoder::load(folder.path);
  if (!encoder) {
    if (encoder.error().message.empty()) std::abort();
    return 0;
  }
  static constexpr std::string_view texts[] = {"stream of news"};
  const weir::Matrix out = encoder->encode(texts);
  for (const float x : out.row(0))
    if (!std::isfinite(x)) std::abort();
  return 0;
}
