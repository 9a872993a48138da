// The table of docs/attention.md is forms(), printed: this test prints it again and compares, so that page and program cannot disagree.
#include <gtest/gtest.h>

#include "attention/attention.h"
#include "base/file.h"

namespace weir::attention {
namespace {

std::string table() {
  std::string out = "| form | heads | a query of the caller's | parameters | matrix of logits | ALiBi, RoPE | mixture of values | causal | stream | linear cost | source |\n|---|---|---|---|---|---|---|---|---|---|---|\n";
  for (const FormRow& row : forms()) {
    out += "| `" + std::string(row.name) + "` |";
    for (const bool holds : {row.heads, row.has_query, row.has_parameters, row.logits, row.position, row.mixture, row.causal, row.streams, row.linear_cost}) out += holds ? " yes |" : " – |";
    out += " " + std::string(row.paper) + " |\n";
  }
  return out;
}

TEST(Docs, TheTableOfFormsIsTheProgramsOwn) {
  const auto page = read_file(WEIR_SOURCE_DIR "/docs/attention.md");
  ASSERT_TRUE(page) << page.error().text();
  EXPECT_NE(page->find("\n" + table()), std::string::npos) << "docs/attention.md should have this table:\n\n" << table();
}

}  // namespace
}  // namespace weir::attention
