// Everything that can be wrong from outside comes back as an Error that says what was expected and what was found; nothing crashes, and nothing that is
// not finite leaves as a success.
#include <gtest/gtest.h>

#include <limits>

#include "attention/cases_test.h"

namespace weir::attention {
namespace {

constexpr double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();

template <class R>
void expect_wrong(const R& result, std::string_view word, const std::string& where = {}) {
  ASSERT_FALSE(result.has_value()) << word << " " << where;
  EXPECT_TRUE(result.error().code == Code::invalid || result.error().code == Code::too_large) << result.error().text();
  EXPECT_NE(result.error().message.find("expected"), std::string::npos) << result.error().message;
  EXPECT_NE(result.error().text().find(word), std::string::npos) << result.error().text() << " does not say " << word << " " << where;
}

template <class T>
Result<Output<T>> try_forward(const Case<T>& c) {
  return forward<T>(c.settings, c.parameters, c.input());
}

Case<double> plain(Form form, std::uint64_t seed = 7) {
  return draw(
      *row_of(form), seed,
      {.position = false, .order = false, .keys = false, .bias = false, .target = false, .temperature = false, .normalisers = false, .implied_values = false});
}

bool windowed(const FormRow& row) { return row.form == Form::dot_product || row.form == Form::multi_head; }
bool fixed_query(const FormRow& row) { return row.has_query && !windowed(row) && row.form != Form::linear && row.form != Form::performer; }

TEST(Errors, EveryFormHasOneRowAndItsName) {
  EXPECT_EQ(forms().size(), 10U);
  for (const FormRow& row : forms()) EXPECT_EQ(to_string(row.form), row.name);
  EXPECT_EQ(to_string(static_cast<Form>(200)), "unknown");
  EXPECT_EQ(to_string(static_cast<Normaliser>(200)), "unknown");
}

TEST(Errors, SettingsThatNoFormHas) {
  const auto wrong = [](std::string_view word, auto&& change) {
    for (const FormRow& row : forms()) {
      Case<double> c = plain(row.form);
      change(c.settings);
      expect_wrong(try_forward(c), word, std::string(row.name));
      expect_wrong(initialise<double>(c.settings, 1), word, std::string(row.name));
      expect_wrong(start_stream<double>(c.settings, c.parameters, 4, 4), word, std::string(row.name));
    }
  };
  wrong("number 99", [](Settings& s) { s.form = static_cast<Form>(99); });
  wrong("number 77", [](Settings& s) { s.normaliser = static_cast<Normaliser>(77); });
  wrong("number 66", [](Settings& s) { s.position = static_cast<Position>(66); });
  wrong("head", [](Settings& s) { s.heads = 0; });
  wrong("heads of at most", [](Settings& s) { s.heads = std::size_t{1} << 40U; });
  wrong("kv_heads of at most", [](Settings& s) { s.kv_heads = std::numeric_limits<std::size_t>::max(); });
  wrong("model of at most", [](Settings& s) { s.model = std::size_t{1} << 50U; });
  wrong("hidden of at most", [](Settings& s) { s.hidden = std::size_t{1} << 50U; });
  wrong("query of at most", [](Settings& s) { s.query = std::size_t{1} << 50U; });
  wrong("features of at most", [](Settings& s) { s.features = std::size_t{1} << 50U; });
  for (const double bad : {0.0, -1.0, inf, nan}) wrong("temperature", [bad](Settings& s) { s.temperature = bad; });
  for (const double bad : {inf, nan}) wrong("scale", [bad](Settings& s) { s.scale = bad; });
  for (const double bad : {0.0, -1.0, 1.5, nan}) wrong("decay", [bad](Settings& s) { s.decay = bad; });
  for (const double bad : {-1.0, inf, nan}) wrong("tau", [bad](Settings& s) { s.tau = bad; });
  for (const double bad : {0.5, -1.0, inf, nan}) wrong("effective_keys", [bad](Settings& s) { s.effective_keys = bad; });
}

TEST(Errors, OptionsThatTheFormDoesNotHave) {
  for (const FormRow& row : forms()) {
    const auto wrong = [&](std::string_view word, auto&& change) {
      Case<double> c = plain(row.form);
      change(c);
      expect_wrong(try_forward(c), word, std::string(row.name));
    };
    if (!row.heads) wrong("1 head", [](Case<double>& c) { c.settings.heads = 2; });
    if (!row.logits) {
      wrong("softmax", [](Case<double>& c) { c.settings.normaliser = Normaliser::entmax15; });
      wrong("temperature", [](Case<double>& c) { c.settings.temperature = 2; });
      wrong("bias", [](Case<double>& c) { c.bias = Array<double>(c.queries(), c.k.rows); });
      wrong("pairs", [](Case<double>& c) { c.pairs = Array<std::uint8_t>(c.queries(), c.k.rows); });
      wrong("window", [](Case<double>& c) { c.mask.window = 1; });
      wrong("window", [](Case<double>& c) { c.mask.block = 1; });
    } else {
      wrong("top_k", [](Case<double>& c) { c.settings.normaliser = Normaliser::top_k, c.settings.top_k = 0; });
    }
    if (!row.position) wrong("position", [](Case<double>& c) { c.settings.position = Position::rope; });
    if (!row.causal) wrong("causal", [](Case<double>& c) { c.mask.causal = true; });
    if (row.form != Form::linear) wrong("decay", [](Case<double>& c) { c.settings.decay = 0.5; });
    if (row.form == Form::linear) wrong("causal", [](Case<double>& c) { c.settings.decay = 0.5; });
    if (row.form != Form::time_decayed) {
      wrong("tau", [](Case<double>& c) { c.settings.tau = 1; });
      wrong("effective_keys", [](Case<double>& c) { c.settings.effective_keys = 1; });
      wrong("age", [](Case<double>& c) { c.age.assign(c.k.rows, 0); });
      wrong("importance", [](Case<double>& c) { c.importance.assign(c.k.rows, 1); });
    }
    if (!row.has_query) wrong("no q", [](Case<double>& c) { c.q = c.k; });
    if (!row.streams) expect_wrong(start_stream<double>(plain(row.form).settings, plain(row.form).parameters, 4, 4), "stream");
    if (!row.mixture) {
      const Case<double> c = plain(row.form);
      const std::vector<double> direction(c.value());
      expect_wrong(explain<double>(c.settings, c.parameters, c.input(), 0, 0, direction), "mixes");
    }
  }
}

TEST(Errors, SizesThatDoNotFit) {
  for (const FormRow& row : forms()) {
    const auto wrong = [&](std::string_view word, auto&& change) {
      Case<double> c = plain(row.form);
      change(c);
      expect_wrong(try_forward(c), word, std::string(row.name));
    };
    const auto wider = [](const Array<double>& a) { return Array<double>(a.rows, a.columns + 1); };
    const auto longer = [](const Array<double>& a) { return Array<double>(a.rows + 1, a.columns); };
    wrong("k", [&](Case<double>& c) { c.k = wider(c.k); });
    wrong("v", [&](Case<double>& c) { c.v = longer(c.v); });
    if (row.has_query) wrong("columns", [&](Case<double>& c) { c.q = wider(c.q); });
    wrong("mask.keys", [](Case<double>& c) { c.keys.assign(c.k.rows + 1, 1); });
    if (row.logits) {
      wrong("bias", [](Case<double>& c) { c.bias = Array<double>(c.queries() + 1, c.k.rows); });
      wrong("bias", [](Case<double>& c) { c.bias = Array<double>(c.queries(), c.k.rows + 1); });
      wrong("pairs", [](Case<double>& c) { c.pairs = Array<std::uint8_t>(c.queries() + 1, c.k.rows); });
      wrong("pairs", [](Case<double>& c) { c.pairs = Array<std::uint8_t>(c.queries(), c.k.rows + 1); });
    }
    if (row.has_parameters) {
      wrong("parameters", [](Case<double>& c) { c.parameters.pop_back(); });
      wrong("parameter", [](Case<double>& c) { c.parameters[0].name = "other"; });
      wrong("parameter", [](Case<double>& c) { c.parameters[0].value.values.pop_back(); });
      wrong("parameter", [](Case<double>& c) { c.parameters[0].value.rows = std::numeric_limits<std::size_t>::max(); });
    } else {
      wrong("parameters", [](Case<double>& c) { c.parameters.push_back({"w", Array<double>(1, 1)}); });
    }
    if (row.form == Form::time_decayed) {
      wrong("age", [](Case<double>& c) { c.settings.tau = 1, c.age.assign(c.k.rows + 1, 0); });
      wrong("importance", [](Case<double>& c) { c.importance.assign(c.k.rows + 1, 1); });
      wrong("effective_keys", [](Case<double>& c) { c.settings.effective_keys = static_cast<double>(c.k.rows) + 1; });
    }
  }
  for (const Form form : {Form::dot_product, Form::multi_head}) {
    Case<double> c = draw(*row_of(form), 1);
    c.settings.heads = 6;
    c.settings.kv_heads = 4;
    expect_wrong(try_forward(c), "kv_heads");
    expect_wrong(initialise<double>(c.settings, 1), "kv_heads");
  }
  Array<double> odd(3, 5);
  expect_wrong(forward<double>({.position = Position::rope}, {}, {.q = odd, .k = odd, .v = odd}), "even");
  Settings settings{.form = Form::multi_head, .position = Position::rope, .heads = 1, .model = 5};
  expect_wrong(forward<double>(settings, *initialise<double>(settings, 1), {.q = odd, .k = odd, .v = odd}), "even");
  settings.heads = 2;
  expect_wrong(forward<double>(settings, {}, {.q = odd, .k = odd, .v = odd}), "parameters");
  settings.heads = 5, settings.model = 0;
  expect_wrong(initialise<double>(settings, 1), "at least 1");
}

TEST(Errors, ViewsThatLie) {
  std::vector<double> some(64);
  std::vector<std::uint8_t> bytes(64, 1);
  constexpr std::size_t huge = std::size_t{1} << 62U;
  const View<double> good(some.data(), 4, 4);
  const View<const double> bad[] = {{some.data(), 4, 4, 3}, {some.data(), huge, huge}, {some.data(), 4, 4, huge},
                                    {some.data(), huge, 1}, {nullptr, 4, 4},           {some.data(), 1, huge}};
  for (const FormRow& row : forms()) {
    const Settings settings{.form = row.form, .model = row.has_parameters ? 4UL : 0UL};
    const Parameters<double> parameters = *initialise<double>(settings, 1);
    Input<double> fits{.k = good, .v = good};
    if (row.has_query) fits.q = good;
    ASSERT_TRUE(forward<double>(settings, parameters, fits).has_value()) << row.name;
    for (const View<const double>& v : bad) {
      for (const char where : {'q', 'k', 'v'}) {
        if (where == 'q' && !row.has_query) continue;
        Input<double> in = fits;
        (where == 'q' ? in.q : where == 'k' ? in.k : in.v) = v;
        expect_wrong(forward<double>(settings, parameters, in), std::string(1, where), std::string(row.name));
      }
      if (!row.logits) continue;
      Input<double> in = fits;
      in.bias = v;
      expect_wrong(forward<double>(settings, parameters, in), "bias", std::string(row.name));
    }
    if (row.logits) {
      Input<double> in = fits;
      in.mask.pairs = {bytes.data(), row.has_query ? 4UL : 1UL, 4, 2};
      expect_wrong(forward<double>(settings, parameters, in), "pairs", std::string(row.name));
    }
    // No columns: as many rows as one likes, but there is no head of no column.
    for (const std::size_t rows : {std::size_t{4}, std::size_t{1} << 39U}) {
      const View<const double> thin(some.data(), rows, 0);
      Input<double> in{.k = thin, .v = thin};
      if (row.has_query) in.q = thin;
      expect_wrong(forward<double>(settings, parameters, in), "column", std::string(row.name));
    }
  }
}

TEST(Errors, StreamsOfEveryForm) {
  for (const FormRow& row : forms()) {
    if (!row.streams) continue;
    const std::string name(row.name);
    const Settings settings{.form = row.form, .model = row.has_parameters ? 4UL : 0UL};
    const Parameters<double> parameters = *initialise<double>(settings, 1);
    std::vector<double> one(4, 1);
    const View<const double> query = fixed_query(row) ? View<const double>(one.data(), 1, 4) : View<const double>{};
    const std::size_t window = windowed(row) ? 2 : 0;
    const auto start = [&](const Settings& s, std::size_t k, std::size_t v, View<const double> q, std::size_t w) {
      return start_stream<double>(s, parameters, k, v, q, w);
    };
    expect_wrong(start(settings, 4, 4, query, windowed(row) ? 0 : 2), "window", name);
    expect_wrong(start(settings, 0, 4, query, window), "columns", name);
    expect_wrong(start(settings, 4, std::size_t{1} << 50U, query, window), "columns", name);
    expect_wrong(start(settings, 4, 4, fixed_query(row) ? View<const double>{} : View<const double>(one.data(), 1, 4), window), "fixed query", name);
    if (row.has_parameters) expect_wrong(start(settings, 5, 4, query, window), "columns", name);
    if (row.logits && !windowed(row)) {
      Settings other = settings;
      other.normaliser = Normaliser::sparsemax;
      expect_wrong(start(other, 4, 4, query, window), "softmax over a stream", name);
    }
    if (fixed_query(row)) {
      expect_wrong(start(settings, 4, 4, View<const double>(one.data(), 1, 3), window), "fixed query", name);
      expect_wrong(start(settings, 4, 4, View<const double>(one.data(), 2, 2), window), "fixed query", name);
      one[1] = nan;
      expect_wrong(start(settings, 4, 4, query, window), "fixed query", name);
      one[1] = 1;
    }
    Result<Stream<double>> s = start(settings, 4, 4, query, window);
    ASSERT_TRUE(s.has_value()) << s.error().text();
    const std::vector<double> q = row.has_query && !fixed_query(row) ? one : std::vector<double>{}, small(3, 1);
    const Result<std::vector<double>> before = ask<double>(*s, q);  // nothing seen: zeros (multi_head's: through wo)
    ASSERT_TRUE(before.has_value()) << before.error().text();
    for (const double x : *before) EXPECT_EQ(x, 0) << name;
    expect_wrong(push<double>(*s, small, one), "in k", name);
    expect_wrong(push<double>(*s, one, small), "in v", name);
    for (const double bad : {nan, inf, -inf}) {
      const std::vector<double> wrong = {1, bad, 1, 1};
      expect_wrong(push<double>(*s, wrong, one), "in k", name);
      expect_wrong(push<double>(*s, one, wrong), "in v", name);
      expect_wrong(push<double>(*s, one, one, bad), "dt", name);
      expect_wrong(push<double>(*s, one, one, 0, bad), "importance", name);
      if (!q.empty()) expect_wrong(ask<double>(*s, wrong), "in q", name);
    }
    expect_wrong(push<double>(*s, one, one, -1), "dt", name);
    expect_wrong(push<double>(*s, one, one, 0, 0), "importance", name);
    expect_wrong(ask<double>(*s, small), "in q", name);
    expect_wrong(ask<double>(*s, q.empty() ? one : std::vector<double>{}), "in q", name);
    EXPECT_EQ(s->seen, 0U);
    ASSERT_TRUE(push<double>(*s, one, one).has_value());
    EXPECT_TRUE(ask<double>(*s, q).has_value());
    const std::vector<double> large(4, 1.7e308);  // finite; what comes of it need not be: then it is told
    (void)push<double>(*s, large, large);
    (void)push<double>(*s, large, large);
    const Result<std::vector<double>> after = ask<double>(*s, q);
    if (after)
      for (const double x : *after) EXPECT_TRUE(std::isfinite(x)) << name;
    else expect_wrong(after, "finite", name);
  }
}

TEST(Errors, WhatIsNotFinite) {
  for (const FormRow& row : forms())
    for (const double bad : {nan, inf, -inf}) {
      const auto wrong = [&](std::string_view word, auto&& change) {
        Case<double> c = plain(row.form);
        change(c);
        expect_wrong(try_forward(c), word, std::string(row.name));
        const Case<float> f = as_float(c);
        expect_wrong(try_forward(f), word, std::string(row.name));
      };
      if (row.has_query) wrong("in q", [&](Case<double>& c) { c.q.values.back() = bad; });
      wrong("in k", [&](Case<double>& c) { c.k.values.front() = bad; });
      wrong("in v", [&](Case<double>& c) { c.v.values.back() = bad; });
      if (row.logits) wrong("in bias", [&](Case<double>& c) { c.bias = Array<double>(c.queries(), c.k.rows), c.bias.values.back() = bad; });
      if (row.has_parameters) {
        for (std::size_t p = 0; p < plain(row.form).parameters.size(); ++p)
          wrong("finite values in " + plain(row.form).parameters[p].name, [&](Case<double>& c) { c.parameters[p].value.values.back() = bad; });
      }
      if (row.form == Form::time_decayed) {
        wrong("age", [&](Case<double>& c) { c.settings.tau = 1, c.age.assign(c.k.rows, 0), c.age[0] = bad; });
        wrong("importance", [&](Case<double>& c) { c.importance.assign(c.k.rows, 1), c.importance[0] = bad; });
      }
      const Case<double> c = plain(row.form);
      const Output<double> o = run(c, false);
      Array<double> d_out(o.out.rows, o.out.columns);
      d_out.values.back() = bad;
      expect_wrong(backward<double>(c.settings, c.parameters, c.input(), o, d_out), "d_out");
      if (row.mixture) {
        std::vector<double> direction(row.form == Form::multi_head ? c.settings.model : c.value(), bad);
        expect_wrong(explain<double>(c.settings, c.parameters, c.input(), 0, 0, direction), "direction");
      }
    }
  Case<double> c = plain(Form::time_decayed);
  c.importance.assign(c.k.rows, 0);
  expect_wrong(try_forward(c), "importance");
  c.importance.clear();
  c.settings.tau = 1, c.age.assign(c.k.rows, -1);
  expect_wrong(try_forward(c), "age");
}

TEST(Errors, WhatOverflowsIsTold) {
  for (const FormRow& row : forms()) {
    Case<double> c = plain(row.form);
    Case<float> f = as_float(c);
    for (float& x : f.q.values) x = 3e38F;
    for (float& x : f.k.values) x = row.has_query ? -3e38F : 3e38F;
    for (float& x : f.v.values) x = 3e38F;
    for (auto& p : f.parameters)
      for (float& x : p.value.values) x = 1e30F;
    const Result<Output<float>> o = try_forward(f);  // finite, or an error
    if (!o) {
      EXPECT_NE(o.error().message.find("expected"), std::string::npos) << o.error().text();
    } else {
      for (const float x : o->out.values) EXPECT_TRUE(std::isfinite(x)) << row.name;
    }
    // Back through values of a good size, pulled by what overflows.
    const Case<float> good = as_float(plain(row.form));
    const Output<float> seen = run(good, false);
    Array<float> pull(seen.out.rows, seen.out.columns);
    std::ranges::fill(pull.values, 3e38F);
    const Result<Gradients<float>> g = backward<float>(good.settings, good.parameters, good.input(), seen, pull);
    if (!g) {
      expect_wrong(g, "finite", std::string(row.name));
      continue;
    }
    for (const Array<float>* a : {&g->q, &g->k, &g->v})
      for (const float x : a->values) EXPECT_TRUE(std::isfinite(x)) << row.name;
    for (const auto& p : g->parameters)
      for (const float x : p.value.values) EXPECT_TRUE(std::isfinite(x)) << row.name;
  }
  // Every logit is −inf, and no key is masked: zeros would be a lie.
  Array<float> q(2, 2), k(3, 2);
  std::ranges::fill(q.values, 3e38F);
  std::ranges::fill(k.values, -3e38F);
  for (const Normaliser n : {Normaliser::softmax, Normaliser::sparsemax, Normaliser::entmax15, Normaliser::top_k})
    expect_wrong(forward<float>({.normaliser = n}, {}, {.q = q, .k = k, .v = k}), "finite", std::string(to_string(n)));
}

// Settings and inputs at the ends of the numbers: an error, or rows of weights that are a probability; never zeros that look like a mask's.
template <class T>
void told_or_right(const Case<T>& c, const std::string& what) {
  const Result<Output<T>> o = forward<T>(c.settings, c.parameters, c.input(), {.weights = c.settings.form != Form::fastformer});
  if (!o) {
    ASSERT_NE(o.error().message.find("expected"), std::string::npos) << o.error().text();
    return;
  }
  for (const T x : o->out.values) ASSERT_TRUE(std::isfinite(x)) << what << c.text();
  for (std::size_t r = 0; r < o->weights.rows && c.settings.normaliser != Normaliser::sigmoid; ++r) {
    double sum = 0;
    for (const T w : o->weights.row(r)) sum += static_cast<double>(w);
    ASSERT_NEAR(sum, c.sees_any(r % c.queries()) ? 1 : 0, 1e-5) << what << " " << c.text();
  }
  const Result<Gradients<T>> g = backward<T>(c.settings, c.parameters, c.input(), *o, o->out);
  if (!g) return;
  for (const auto* a : {&g->q, &g->k, &g->v})
    for (const T x : a->values) ASSERT_TRUE(std::isfinite(x)) << what << c.text();
}

TEST(Errors, AtTheEndsOfTheNumbers) {
  for (const FormRow& row : forms())
    for (std::uint64_t seed = 1; seed <= (sanitized ? 3 : 12); ++seed)
      for (const double x : {1e308, -1e308, 1e39, -1e39, 1e-39, 1e-308, 5e-324, 1e-50})
        for (const auto& [what, change] : std::vector<std::pair<std::string, void (*)(Case<double>&, double)>>{
                 {"scale", [](Case<double>& c, double v) { c.settings.scale = v; }},
                 {"temperature", [](Case<double>& c, double v) { c.settings.temperature = v; }},
                 {"tau", [](Case<double>& c, double v) { c.settings.tau = v, c.age.assign(c.k.rows, 1); }},
                 {"age", [](Case<double>& c, double v) { std::ranges::fill(c.age, v); }},
                 {"importance", [](Case<double>& c, double v) { std::ranges::fill(c.importance, v); }},
                 {"bias", [](Case<double>& c, double v) { std::ranges::fill(c.bias.values, v); }},
                 {"one bias",
                  [](Case<double>& c, double v) {
                    if (!c.bias.values.empty()) c.bias.values[0] = v;
                  }},
                 {"one key", [](Case<double>& c, double v) { std::ranges::fill(c.k.row(0), v); }}}) {
          Case<double> c = draw(row, seed + 900);
          change(c, x);
          ASSERT_NO_FATAL_FAILURE(told_or_right(c, fmt::format("{} {} in double", what, x)));
          ASSERT_NO_FATAL_FAILURE(told_or_right(as_float(c), fmt::format("{} {} in float", what, x)));
        }
}

TEST(Errors, BackwardWithAnotherOutput) {
  for (const FormRow& row : forms()) {
    const Case<double> c = plain(row.form);
    const Output<double> o = run(c, false);
    const auto wrong = [&](std::string_view word, const Output<double>& output, const Array<double>& d_out) {
      expect_wrong(backward<double>(c.settings, c.parameters, c.input(), output, d_out), word, std::string(row.name));
    };
    wrong("d_out", o, Array<double>(o.out.rows + 1, o.out.columns));
    wrong("d_out", o, Array<double>(o.out.rows, o.out.columns + 1));
    wrong("d_out", o, {});
    wrong("output.out", {}, o.out);
    Output<double> other = o;
    other.log_sum_exp.push_back(0);
    wrong("log_sum_exp", other, o.out);
    other = o;
    other.weights = Array<double>(1, 1000);
    wrong("weights", other, o.out);
    other = o;
    other.out.values.pop_back();
    wrong("output.out", other, o.out);
    other = o;
    other.out.values[0] = nan;
    wrong("output.out", other, o.out);
  }
}

TEST(Errors, MergeAndExplainAndStreams) {
  for (const FormRow& row : forms()) {
    if (!row.mixture) continue;
    const Case<double> c = plain(row.form);
    std::vector<double> direction(row.form == Form::multi_head ? c.settings.model : c.value());
    const auto told = [&](std::size_t query, std::size_t head) { return explain<double>(c.settings, c.parameters, c.input(), query, head, direction); };
    ASSERT_TRUE(told(0, 0).has_value()) << row.name;
    expect_wrong(told(c.queries(), 0), "query", std::string(row.name));
    expect_wrong(told(0, c.heads()), "head", std::string(row.name));
    direction.push_back(1);
    expect_wrong(told(0, 0), "direction", std::string(row.name));
  }
  const Case<double> c = plain(Form::dot_product);
  const Output<double> o = run(c);
  expect_wrong(merge(o, o, 0), "heads");
  expect_wrong(merge(o, o, std::size_t{1} << 50U), "heads");
  expect_wrong(merge(o, Output<double>{}, c.heads()), "rows");
  Output<double> other = o;
  other.log_sum_exp.pop_back();
  expect_wrong(merge(o, other, c.heads()), "log_sum_exp");
  other = o;
  other.out.values[0] = inf;
  expect_wrong(merge(o, other, c.heads()), "out");
  other = o;
  other.log_sum_exp[0] = nan;
  expect_wrong(merge(o, other, c.heads()), "log_sum_exp");
  other = o;
  other.weights.values.pop_back();
  expect_wrong(merge(o, other, c.heads()), "weights");

  expect_wrong(start_stream<double>({}, {}, 4, 4, {}, std::size_t{1} << 50U), "window");
  expect_wrong(start_stream<double>({.heads = 3}, {}, 4, 4, {}, 3), "heads");
  Case<float> large = as_float(plain(Form::dot_product));
  for (float& x : large.v.values) x = 1e38F;
  const std::vector<float> far(large.value(), 1e38F);
  expect_wrong(explain<float>(large.settings, {}, large.input(), 0, 0, far), "finite");
}

// Plain data can be anything: what start_stream() did not make is an error, whatever it is.
TEST(Errors, StreamsThatWereNotStarted) {
  const std::vector<double> one(4, 1);
  Stream<double> none;
  expect_wrong(push<double>(none, {}, {}), "not started");
  expect_wrong(ask<double>(none, {}), "not started");
  none.key_columns = none.value_columns = 4;
  expect_wrong(push<double>(none, one, one), "not started");
  using S = Stream<double>;
  const std::vector<void (*)(S&)> changes = {
      [](S& s) { s.settings.form = static_cast<Form>(99); },
      [](S& s) { s.settings.form = s.settings.form == Form::fastformer ? Form::linear : Form::fastformer; },
      [](S& s) { s.settings.heads = 0; },
      [](S& s) { s.settings.kv_heads = 3; },
      [](S& s) { s.settings.hidden = 7; },
      [](S& s) { s.settings.temperature = 0; },
      [](S& s) { s.settings.scale = nan; },
      [](S& s) { s.state.values.emplace_back(), s.state.values.pop_back(), s.state.columns = 99; },
      [](S& s) { s.keys = Array<double>(1, 1); },
      [](S& s) { s.values.rows = 99; },
      [](S& s) { s.query = Array<double>(3, 3); },
      [](S& s) { s.parameters.push_back({"x", Array<double>(1, 1)}); },
      [](S& s) { s.window = std::numeric_limits<std::size_t>::max(); },
      [](S& s) { s.key_columns = 5; },
      [](S& s) { const S gone = std::move(s); },
  };
  for (const FormRow& row : forms()) {
    if (!row.streams) continue;
    const Settings settings{.form = row.form, .model = row.has_parameters ? 4UL : 0UL};
    const Parameters<double> parameters = *initialise<double>(settings, 1);
    const View<const double> query = fixed_query(row) ? View<const double>(one.data(), 1, 4) : View<const double>{};
    const std::vector<double> q = row.has_query && !fixed_query(row) ? one : std::vector<double>{};
    for (std::size_t i = 0; i < changes.size(); ++i) {
      Result<S> s = start_stream<double>(settings, parameters, 4, 4, query, windowed(row) ? 2 : 0);
      ASSERT_TRUE(s.has_value());
      ASSERT_TRUE(push<double>(*s, one, one).has_value());
      S copy = *s;
      ASSERT_TRUE(push<double>(copy, one, one).has_value());
      changes[i](*s);
      expect_wrong(push<double>(*s, one, one), "start_stream", fmt::format("{} change {}", row.name, i));
      expect_wrong(ask<double>(*s, q), "start_stream", fmt::format("{} change {}", row.name, i));
      EXPECT_TRUE(ask<double>(copy, q).has_value());
    }
  }
}

TEST(Errors, OutputsThatDoNotMerge) {
  for (const FormRow& row : forms()) {
    if (!row.logits) continue;
    for (const Normaliser n : {Normaliser::sparsemax, Normaliser::entmax15, Normaliser::top_k, Normaliser::sigmoid}) {
      Case<double> c = plain(row.form);
      c.settings.normaliser = n;
      const Output<double> o = run(c);
      EXPECT_TRUE(o.log_sum_exp.empty());
      expect_wrong(merge(o, o, row.form == Form::multi_head_pooling ? 1 : c.heads()), "log_sum_exp", std::string(row.name));
    }
  }
  const Case<double> layered = plain(Form::multi_head);
  const Output<double> through = run(layered);
  expect_wrong(merge(through, through, layered.heads()), "log_sum_exp");
  Case<double> target = plain(Form::time_decayed);
  target.settings.effective_keys = 1;
  const Output<double> held = run(target);
  expect_wrong(merge(held, held, target.heads()), "target");
}

TEST(Errors, ExecutorsWithoutThreads) {
  for (const FormRow& row : forms()) {
    const Case<float> c = as_float(draw(row, 3, {.most = 40}));
    const Output<float> o = run(c);
    for (const std::size_t threads : {std::size_t{0}, std::size_t{1} << 20U, std::numeric_limits<std::size_t>::max()}) {
      const Executor executor{.threads = threads};
      expect_wrong(forward<float>(c.settings, c.parameters, c.input(), {}, executor), "Executor", std::string(row.name));
      expect_wrong(backward<float>(c.settings, c.parameters, c.input(), o, o.out, executor), "Executor", std::string(row.name));
    }
  }
}

TEST(Errors, NothingIsNoError) {  // no queries: nothing comes out; no keys: zeros (what wo's bias and fastformer's queries add aside)
  for (const FormRow& row : forms()) {
    Case<double> c = plain(row.form);
    c.settings.effective_keys = 0;
    Case<double> none = keys_of(c, {});
    if (row.form == Form::fastformer) none.q = rows_of(c.q, {});
    const Result<Output<double>> o = try_forward(none);
    ASSERT_TRUE(o.has_value()) << o.error().text() << none.text();
    if (row.form != Form::multi_head) {
      for (const double x : o->out.values) EXPECT_EQ(x, 0) << row.name;
    }
    const Result<Gradients<double>> g = backward<double>(none.settings, none.parameters, none.input(), *o, o->out);
    ASSERT_TRUE(g.has_value()) << g.error().text();
    for (const double x : g->q.values) EXPECT_EQ(x, 0) << row.name;
    const Result<Output<float>> f = try_forward(as_float(none));
    ASSERT_TRUE(f.has_value()) << f.error().text();
    if (!row.has_query || row.form == Form::fastformer) continue;
    Input<double> nobody = c.input();
    nobody.q = View<const double>(c.q.values.data(), 0, c.q.columns);
    const Result<Output<double>> empty = forward<double>(c.settings, c.parameters, nobody, {.weights = true});
    ASSERT_TRUE(empty.has_value()) << empty.error().text();
    EXPECT_EQ(empty->out.rows, 0U);
  }
}

}  // namespace
}  // namespace weir::attention
