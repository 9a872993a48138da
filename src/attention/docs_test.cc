// The tables of docs/attention.md are forms(), printed: this test prints them again and compares, so that page and program cannot disagree; and every
// promise of the second names a test of properties_test.cc that is there.
#include <gtest/gtest.h>

#include "attention/attention.h"
#include "base/file.h"

namespace weir::attention {
namespace {

std::string table() {
  std::string out =
      "| form | heads | a query of the caller's | parameters | matrix of logits | ALiBi, RoPE | mixture of values | causal | stream | linear cost | source "
      "|\n|---|---|---|---|---|---|---|---|---|---|---|\n";
  for (const FormRow& row : forms()) {
    out += "| `" + std::string(row.name) + "` |";
    for (const bool holds : {row.heads, row.has_query, row.has_parameters, row.logits, row.position, row.mixture, row.causal, row.streams, row.linear_cost})
      out += holds ? " yes |" : " – |";
    out += " " + std::string(row.paper) + " |\n";
  }
  return out;
}

struct Promise {
  std::string_view what, test;
  bool (*holds)(const FormRow&);
};
constexpr Promise promises[] = {
    {"masked keys change nothing, and get gradients of zero", "MaskedKeysAreNotThere", [](const FormRow&) { return true; }},
    {"gradients are those of central differences in double, to 1e-6", "GradientsAreThoseOfTheForward", [](const FormRow&) { return true; }},
    {"float follows double", "FloatFollowsDouble", [](const FormRow&) { return true; }},
    {"threads change no bit", "ThreadsChangeNoBit", [](const FormRow&) { return true; }},
    {"queries in another order: outcomes in that order", "OutcomesFollowTheOrderOfQueries", [](const FormRow& row) { return row.has_query; }},
    {"weights are ≥ 0 and sum to 1 (not sigmoid's)", "WeightsAreAProbability", [](const FormRow& row) { return row.mixture; }},
    {"outcomes are in the convex hull of the values", "OutcomesAreWeightsTimesValues", [](const FormRow& row) { return row.mixture; }},
    {"equal values pass through", "ConstantValuesPassThrough", [](const FormRow& row) { return row.mixture; }},
    {"the order of keys does not matter", "OrderOfKeysDoesNotMatter", [](const FormRow& row) { return row.mixture; }},
    {"explanations are exact: parts sum up, leaving one out is having it masked", "ExplanationsAreExact", [](const FormRow& row) { return row.mixture; }},
    {"a number added to a row of logits changes nothing", "ShiftedLogitsChangeNothing", [](const FormRow& row) { return row.logits; }},
    {"hidden pairs are not there", "HiddenPairsAreNotThere", [](const FormRow& row) { return row.logits; }},
    {"the same key twice is a bias of log 2", "TwiceTheSameKeyIsABiasOfLogTwo", [](const FormRow& row) { return row.logits; }},
    {"temperature → 0: the greatest; → ∞: the mean", "LimitsOfTemperature", [](const FormRow& row) { return row.logits; }},
    {"weights change by at most half of what their logits do (sparsemax's and entmax-1.5's by all; not top-k's)", "WeightsChangeByHalfOfTheirLogits",
     [](const FormRow& row) { return row.logits; }},
    {"what comes later changes nothing before it", "CausalPrefix", [](const FormRow& row) { return row.causal; }},
    {"all later by as many places: the same", "OnlyDistancesCount", [](const FormRow& row) { return row.causal; }},
    {"heads that share keys are heads with the same keys", "SharedHeadsAreTiedHeads",
     [](const FormRow& row) { return row.heads && row.has_query && row.form != Form::fastformer; }},
    {"outcomes over two sets of keys merge into that over both", "ChunksMergeIntoTheWhole",
     [](const FormRow& row) { return row.logits && !row.has_parameters; }},
    {"exp(entropy) of the weights is the target", "TargetOfEffectiveKeysIsMet", [](const FormRow& row) { return row.form == Form::time_decayed; }},
    {"key after key is all at once", "AStreamSaysWhatTheBatchSays", [](const FormRow& row) { return row.streams; }},
};

std::string promise_table() {
  std::string out = "| promise | test |", line = "|---|---|";
  for (const FormRow& row : forms()) {
    out += " " + std::string(row.name) + " |";
    line += "---|";
  }
  out += "\n" + line + "\n";
  for (const Promise& promise : promises) {
    out += "| " + std::string(promise.what) + " | `" + std::string(promise.test) + "` |";
    for (const FormRow& row : forms()) out += promise.holds(row) ? " yes |" : " – |";
    out += "\n";
  }
  return out;
}

TEST(Docs, EveryPromiseHasItsTest) {
  const auto page = read_file(WEIR_SOURCE_DIR "/docs/attention.md"), tests = read_file(WEIR_SOURCE_DIR "/src/attention/properties_test.cc");
  ASSERT_TRUE(page && tests);
  EXPECT_NE(page->find("\n" + promise_table()), std::string::npos) << "docs/attention.md should have this table:\n\n" << promise_table();
  for (const Promise& promise : promises) EXPECT_NE(tests->find("TEST(Properties, " + std::string(promise.test) + ")"), std::string::npos) << promise.test;
}

TEST(Docs, TheTableOfFormsIsTheProgramsOwn) {
  const auto page = read_file(WEIR_SOURCE_DIR "/docs/attention.md");
  ASSERT_TRUE(page) << page.error().text();
  EXPECT_NE(page->find("\n" + table()), std::string::npos) << "docs/attention.md should have this table:\n\n" << table();
}

}  // namespace
}  // namespace weir::attention
