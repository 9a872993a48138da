// What guard found in a text and what follows from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace weir {

enum class Action { pass, redact, hold, block };  // in the order of severity

struct Finding {
  std::string kind;                // dotted class: "secret.github", "secret.url.userinfo", "pii.card", "injection.role"
  std::string rule;                // the rule's name
  std::string field;               // where it was: "title", "content_text", "url"; empty for a whole text
  std::size_t start = 0, end = 0;  // bytes of that field
  std::string view;                // which view of the text matched: "plain", "base64", …
  Action action = Action::pass;
};

struct Verdict {
  Action action = Action::pass;  // the severest of the findings
  std::vector<Finding> findings;
  std::uint32_t policy = 0;  // version of the rules; a verdict of another version is not used
};

}  // namespace weir
