// The table of all forms: what each allows and where it comes from. Everything that differs by form and is not a computation is here; what attention.cc
// checks, what docs/attention.md prints and what the property tests walk is this table.
#include <vector>

#include "attention/form.h"
#include "base/result.h"

namespace weir::attention {
namespace {

struct Row {
  Form form;
  std::string_view name;
  FormFunctions<float> (*f32)();
  FormFunctions<double> (*f64)();
  bool heads, has_query, has_parameters, logits, position, mixture, causal, streams, linear_cost;  // as FormRow's
  std::string_view paper;
};

#define WEIR_FORM(name) Form::name, #name, name<float>, name<double>
constexpr bool yes = true, no = false;

// clang-format off
constexpr Row table[] = {
    //                              heads  q    param. logits pos. mixt. causal stream linear  from
    {WEIR_FORM(dot_product),        yes,   yes, no,    yes,   yes, yes,  yes,   yes,   no,     "Vaswani 2017, arXiv:1706.03762; Ainslie 2023, arXiv:2305.13245"},
    {WEIR_FORM(multi_head),         yes,   yes, yes,   yes,   yes, yes,  yes,   yes,   no,     "Vaswani 2017, arXiv:1706.03762"},
    {WEIR_FORM(dot_pooling),        no,    no,  yes,   yes,   no,  yes,  no,    yes,   yes,    "Yang 2016, aclanthology N16-1174"},
    {WEIR_FORM(additive),           no,    yes, yes,   yes,   no,  yes,  yes,   yes,   no,     "Bahdanau 2014, arXiv:1409.0473"},
    {WEIR_FORM(multi_head_pooling), yes,   no,  yes,   yes,   no,  yes,  no,    yes,   yes,    "Lin 2017, arXiv:1703.03130"},
    {WEIR_FORM(candidate_pooling),  no,    yes, yes,   yes,   no,  yes,  yes,   yes,   no,     "Zhou 2018, arXiv:1706.06978"},
    {WEIR_FORM(fastformer),         yes,   yes, yes,   no,    no,  no,   no,    no,    yes,    "Wu 2021, arXiv:2108.09084"},
    {WEIR_FORM(linear),             yes,   yes, no,    no,    no,  yes,  yes,   yes,   yes,    "Katharopoulos 2020, arXiv:2006.16236; Sun 2023, arXiv:2307.08621"},
    {WEIR_FORM(performer),          yes,   yes, yes,   no,    no,  yes,  yes,   yes,   yes,    "Choromanski 2020, arXiv:2009.14794"},
    {WEIR_FORM(time_decayed),       yes,   yes, no,    yes,   no,  yes,  yes,   yes,   no,     "Vaswani 2017, arXiv:1706.03762, with ages and a target of entropy"},
};
// clang-format on
#undef WEIR_FORM

const Row* find(Form form) {
  for (const Row& row : table)
    if (row.form == form) return &row;
  return nullptr;
}

}  // namespace

std::span<const FormRow> forms() {
  static const std::vector<FormRow> rows = [] {
    std::vector<FormRow> all;
    for (const Row& r : table)
      all.push_back({.form = r.form,
                     .name = r.name,
                     .paper = r.paper,
                     .heads = r.heads,
                     .has_query = r.has_query,
                     .has_parameters = r.has_parameters,
                     .logits = r.logits,
                     .position = r.position,
                     .mixture = r.mixture,
                     .causal = r.causal,
                     .streams = r.streams,
                     .linear_cost = r.linear_cost});
    return all;
  }();
  return rows;
}

const FormRow* row_of(Form form) {
  for (const FormRow& row : forms())
    if (row.form == form) return &row;
  return nullptr;
}

template <class T>
FormFunctions<T> functions(Form form) {
  const Row* row = find(form);
  CHECK(row != nullptr);
  if constexpr (std::is_same_v<T, float>) return row->f32();
  else return row->f64();
}
template FormFunctions<float> functions(Form);
template FormFunctions<double> functions(Form);

std::string_view to_string(Form form) {
  const Row* row = find(form);
  return row == nullptr ? "unknown" : row->name;
}

std::string_view to_string(Normaliser normaliser) {
  switch (normaliser) {
    case Normaliser::softmax: return "softmax";
    case Normaliser::sparsemax: return "sparsemax";
    case Normaliser::entmax15: return "entmax15";
    case Normaliser::top_k: return "top_k";
    case Normaliser::sigmoid: return "sigmoid";
  }
  return "unknown";
}

}  // namespace weir::attention
