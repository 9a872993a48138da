#include "cli/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

// toml++ 3.3 asserts (or lets clang assume) of a table's header what it only checks some lines later: "[=" ended a build with assertions.
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(expr) static_assert(true)
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

#include "base/file.h"
#include "base/text.h"
#include "http/server.h"
#include "ingest/dialer.h"

namespace weir::cli {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread
  return value ? value : "";
}

Result<std::filesystem::path> data_folder(const std::string& given) {
  if (!given.empty()) return std::filesystem::absolute(given);
  if (const std::string xdg = environment("XDG_DATA_HOME"); xdg.starts_with('/')) return std::filesystem::path(xdg) / "weir";
  if (const std::string home = environment("HOME"); !home.empty()) return std::filesystem::path(home) / ".local/share/weir";
  return fail(Code::invalid, "neither HOME nor XDG_DATA_HOME is set", "", "say where everything is kept: --data DIR");
}

struct File {
  std::string listen, model;
  std::vector<std::string> allow_net;
  bool no_model = false;
};

// What is wrong with a value says where it stands.
Status placed(const Status& fits, const std::string& where) {
  if (fits) return {};
  return fail(fits.error().code, fmt::format("{}: {}", fits.error().where, fits.error().message), where, fits.error().remedy);
}

// The line of the first letter beyond ASCII outside strings and comments, where TOML has none, or behind a backslash: toml++ 3.3 has undefined behaviour there.
std::optional<std::size_t> foreign_letter(std::string_view text) {
  std::size_t line = 1, i = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  std::string_view end;  // of the string or comment that we are in
  for (; i < text.size(); ++i) {
    if (text[i] == '\n') ++line;
    if (end.empty()) {
      if (static_cast<unsigned char>(text[i]) >= 0x80) return line;
      const std::string_view rest = text.substr(i);
      for (const std::string_view begin : {"\"\"\"", "'''", "\"", "'", "#"})
        if (end.empty() && rest.starts_with(begin)) end = begin == "#" ? "\n" : begin;
      if (end.size() == 3) i += 2;
    } else if (end.front() == '"' && text[i] == '\\') {
      const std::size_t next = std::min(text.find_first_not_of(" \t\r\n", i + 1), text.size());
      line += static_cast<std::size_t>(std::ranges::count(text.substr(i, next - i), '\n'));
      if (next < text.size() && static_cast<unsigned char>(text[next]) >= 0x80) return line;
      i = std::max(i + 1, next - 1);  // an escaped letter is behind us, white space's successor ahead
    } else if (text.substr(i).starts_with(end)) {
      i += end.size() - 1;
      end = {};
    } else if (end.size() == 1 && text[i] == '\n') {
      end = {};  // a string that is not closed: for the parser to tell
    }
  }
  return std::nullopt;
}

Result<File> read_config(const std::filesystem::path& path) {
  const std::string text = TRY(read_file(path, 1 << 20));
  File out;
  if (const auto line = foreign_letter(text))
    return fail(Code::malformed, "a letter beyond ASCII outside of quotes, or behind a backslash", fmt::format("{}:{}", path.string(), *line),
                "put it in quotes, without a backslash");
  try {
    const toml::table table = toml::parse(text, path.string());
    for (const auto& [key, node] : table) {
      const std::string_view name = key.str();
      const std::string where = fmt::format("{}:{}", path.string(), node.source().begin.line);
      if (name == "listen" && node.is_string()) {
        out.listen = node.ref<std::string>();
        TRY(placed(http::check_listen(out.listen), where));
      } else if (name == "model" && node.is_string()) out.model = node.ref<std::string>();
      else if (name == "model" && node.is_boolean() && !node.ref<bool>()) out.no_model = true;
      else if (name == "allow_net" && node.is_array()) {
        for (const auto& one : *node.as_array()) {
          if (!one.is_string()) return fail(Code::invalid, "allow_net must be a list of strings", where);
          out.allow_net.push_back(one.ref<std::string>());
          const auto range = NetRange::parse(out.allow_net.back());
          TRY(placed(range ? Status() : Status(std::unexpected(range.error())), fmt::format("{}:{}", path.string(), one.source().begin.line)));
        }
      } else {
        return fail(Code::invalid, fmt::format("{} is not a setting, or of the wrong kind", name), where, "known are listen, allow_net, model");
      }
    }
  } catch (const toml::parse_error& error) {
    return fail(Code::malformed, std::string(error.description()), fmt::format("{}:{}", path.string(), error.source().begin.line), "the file must be TOML");
  }
  return out;
}

}  // namespace

Status settle(Options& options, const std::string& data, const std::string& config_file, const std::vector<std::string>& allow_net, bool no_model,
              std::string& listen) {
  options.data = TRY(data_folder(data));
  std::string path = config_file.empty() ? environment("WEIR_CONFIG") : config_file;
  std::error_code error;
  if (path.empty() && std::filesystem::exists(options.data / "weir.toml", error)) path = (options.data / "weir.toml").string();
  File file;
  if (!path.empty()) file = TRY(read_config(path));
  if (const auto chosen = read_file(options.data / "model", 4096)) options.model_name = std::string(trim(*chosen));  // weir model use
  if (!file.model.empty()) options.model_name = file.model;
  options.model = !no_model && !file.no_model;
  options.allow_net = file.allow_net;
  options.allow_net.insert(options.allow_net.end(), allow_net.begin(), allow_net.end());
  if (listen.empty()) listen = file.listen.empty() ? "127.0.0.1:8088" : file.listen;
  options.listen = listen;
  return {};
}

}  // namespace weir::cli
