// The commands of people: each is a request or two to the API (cli/client.h) and a way to print the answer. They answer an exit code.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/client.h"

namespace weir::cli {

// A URL, an OPML file, a feed in a file, a folder of those; each gets a line. Errors are printed; answers whether all went well.
bool add_names(Client& client, const std::vector<std::string>& names, const std::string& folder, bool as_json, bool files_only = false);

struct ListArguments {
  std::string order = "newest", state = "unread", folder, cursor, text;
  std::int64_t source = 0;
  std::size_t limit = 30;
};
struct SourceArguments {
  std::string action;  // "", "edit", "keep", "remove", "push"
  std::int64_t id = 0;
  std::optional<std::string> title, folder, url;
  std::optional<int> keep_days, keep_starred_days;  // edit: of one source; keep: in all
  bool keep_as_all = false;
};
struct UserArguments {
  std::string action, name, file;
};
struct TokenArguments {
  std::string action = "new", user, scope = "write", name;
  std::int64_t id = 0;
};
struct ModelArguments {
  std::string action, name, from;
};

int add(const Options& options, const std::vector<std::string>& names, const std::string& folder);
int import(const Options& options, const std::vector<std::string>& names, bool starter);
int export_opml(const Options& options, const std::string& file);
int fetch(const Options& options, std::int64_t source);
int list(const Options& options, const ListArguments& arguments);
int read(const Options& options, std::int64_t id, bool keep_unread);
int why(const Options& options, std::int64_t id);
int signal(const Options& options, const std::string& kind, const std::vector<std::int64_t>& ids);
int star(const Options& options, const std::vector<std::int64_t>& ids, bool undo);
int sources(const Options& options, const SourceArguments& arguments);
int user(const Options& options, const UserArguments& arguments);
int token(const Options& options, const TokenArguments& arguments);
int model(const Options& options, const ModelArguments& arguments);
int backup(const Options& options, const std::string& file);
int restore(const Options& options, const std::string& file);
int doctor(const Options& options, bool thorough);

}  // namespace weir::cli
