// Forms with parameters, features or ages, on their functions alone: gradients against central differences, float against double, streams against batches.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <thread>

#include "attention/form.h"

namespace weir::attention {
namespace {

using Random = std::mt19937_64;
std::size_t pick(Random& r, std::size_t low, std::size_t high) { return low + r() % (high - low + 1); }

template <class T>
Array<T> random_array(Random& r, std::size_t rows, std::size_t columns, double scale = 1) {
  std::normal_distribution<double> normal(0, scale);
  Array<T> a(rows, columns);
  for (T& x : a.values) x = static_cast<T>(normal(r));
  return a;
}

template <class T>
struct Case {
  Settings settings;
  Parameters<T> parameters;
  Array<T> q, k, v, bias;
  std::vector<std::uint8_t> keys;
  Mask mask;
  std::vector<T> age, importance;
  Input<T> input() const {
    Input<T> in{.q = q, .k = k, .v = v, .mask = mask, .bias = bias, .age = age, .importance = importance};
    in.mask.keys = keys;
    if (v.values.empty()) in.v = {};
    if (q.values.empty()) in.q = {};
    if (bias.values.empty()) in.bias = {};
    return in;
  }
};
template <class To, class From>
Array<To> as(const Array<From>& a) {
  Array<To> b(a.rows, a.columns);
  for (std::size_t i = 0; i < a.values.size(); ++i) b.values[i] = static_cast<To>(a.values[i]);
  return b;
}
template <class To, class From>
Case<To> as(const Case<From>& c) {
  Case<To> o{.settings = c.settings, .q = as<To>(c.q), .k = as<To>(c.k), .v = as<To>(c.v), .bias = as<To>(c.bias), .keys = c.keys, .mask = c.mask,
             .age = {c.age.begin(), c.age.end()}, .importance = {c.importance.begin(), c.importance.end()}};
  for (const auto& p : c.parameters) o.parameters.push_back({p.name, as<To>(p.value)});
  return o;
}

template <class T>
FormFunctions<T> of(Form form) {
  switch (form) {
    case Form::linear: return linear<T>();
    case Form::performer: return performer<T>();
    case Form::fastformer: return fastformer<T>();
    case Form::dot_pooling: return dot_pooling<T>();
    case Form::multi_head_pooling: return multi_head_pooling<T>();
    case Form::additive: return additive<T>();
    case Form::candidate_pooling: return candidate_pooling<T>();
    default: return time_decayed<T>();
  }
}

template <class T>
void draw(Random& r, Case<T>& c) {
  const auto f = of<T>(c.settings.form);
  if (f.parameters == nullptr) return;
  for (const Shape& s : f.parameters(c.settings)) c.parameters.push_back({std::string(s.name), random_array<T>(r, s.rows, s.columns, 0.6)});
  if (f.draw != nullptr) f.draw(c.settings, c.parameters, r());
}

constexpr bool pools(Form f) { return f == Form::dot_pooling || f == Form::multi_head_pooling; }
constexpr bool shares(Form f) { return pools(f) || f == Form::additive || f == Form::candidate_pooling; }

Case<double> random_case(Random& r, Form form) {
  Case<double> c{.settings = {.form = form}};
  Settings& s = c.settings;
  const std::size_t tq = pick(r, 1, 7), d = pick(r, 1, 5), dv = pick(r, 1, 5);
  std::size_t tk = pick(r, 1, 9);
  if (form != Form::dot_pooling && form != Form::additive && form != Form::candidate_pooling) s.heads = pick(r, 1, 3);
  const bool fast = form == Form::fastformer, shared = shares(form);
  if (fast) tk = tq;
  const std::size_t groups = shared ? 1 : !fast && pick(r, 0, 2) == 0 ? 1 : s.heads;
  if (!shared && groups != s.heads) s.kv_heads = groups;
  s.model = groups * d;
  s.features = pick(r, 1, 7);
  s.hidden = pick(r, 0, 5);
  if (form == Form::additive) s.query = pick(r, 0, 4);
  if (!pools(form)) c.q = random_array<double>(r, tq, s.query != 0 ? s.query : shared ? d : s.heads * d);
  c.k = random_array<double>(r, tk, groups * d);
  if (!shared || pick(r, 0, 1) != 0) c.v = random_array<double>(r, tk, groups * (fast ? d : dv));
  if (!fast && !pools(form) && form != Form::candidate_pooling) c.mask.causal = pick(r, 0, 1) != 0;
  if (form == Form::linear && c.mask.causal && pick(r, 0, 1) != 0) s.decay = 0.8;
  if (shared || form == Form::time_decayed) {
    if (pick(r, 0, 1) != 0) c.bias = random_array<double>(r, pools(form) ? 1 : tq, tk);
    if (pick(r, 0, 1) != 0) s.temperature = 0.7;
    if (pick(r, 0, 1) != 0) s.scale = 1.3;
    if (pick(r, 0, 2) == 0) s.normaliser = Normaliser::sigmoid;
    if (pick(r, 0, 1) != 0 && !pools(form)) c.mask.window = 2;
  }
  if (form == Form::time_decayed) {
    if (pick(r, 0, 1) != 0) s.tau = 2.5;
    if (s.tau != 0)
      for (std::size_t j = 0; j < tk; ++j) c.age.push_back(static_cast<double>(pick(r, 0, 90)) / 10 + 0.1);
    if (pick(r, 0, 1) != 0)
      for (std::size_t j = 0; j < tk; ++j) c.importance.push_back(static_cast<double>(pick(r, 1, 90)) / 10);
  }
  if (pick(r, 0, 1) != 0)
    for (std::size_t j = 0; j < tk; ++j) c.keys.push_back(pick(r, 0, 3) != 0);
  draw(r, c);
  return c;
}

template <class T>
Output<T> run(const Case<T>& c, Want want = {}) {
  const auto in = c.input();
  const Sizes n = of<T>(c.settings.form).sizes(c.settings, in).value();
  return of<T>(c.settings.form).forward(c.settings, c.parameters, in, n, want, {});
}

const std::vector<Form> all{Form::linear, Form::performer, Form::fastformer, Form::dot_pooling, Form::multi_head_pooling, Form::additive, Form::candidate_pooling, Form::time_decayed};

TEST(Forms, GradientsAgreeWithCentralDifferences) {
  for (const Form form : all) {
    Random r(static_cast<unsigned>(form) + 7);
    for (int times = 0; times < 1000; ++times) {
      Case<double> c = random_case(r, form);
      const auto in = c.input();
      const Sizes n = of<double>(form).sizes(c.settings, in).value();
      const Output<double> o = run(c);
      ASSERT_EQ(o.out.rows, n.out_rows);
      ASSERT_EQ(o.out.columns, n.out_columns);
      const Array<double> g = random_array<double>(r, o.out.rows, o.out.columns);
      const auto value = [&] {
        const Output<double> at = run(c);
        double sum = 0;
        for (std::size_t i = 0; i < g.values.size(); ++i) sum += g.values[i] * at.out.values[i];
        return sum;
      };
      Gradients<double> d = of<double>(form).backward(c.settings, c.parameters, in, n, o, View<const double>(g), {});
      double greatest = 1e-2;
      for (const auto* a : {&d.q, &d.k, &d.v, &d.bias})
        for (const double x : a->values) greatest = std::max(greatest, std::fabs(x));
      const auto check = [&](std::vector<double>& x, const std::vector<double>& dx, const std::string& name) {
        ASSERT_EQ(x.size(), dx.size()) << name;
        for (std::size_t i = 0; i < x.size(); ++i) {
          const double keep = x[i], h = 1e-5;
          x[i] = keep + h;
          const double up = value();
          x[i] = keep - h;
          const double down = value();
          x[i] = keep;
          const double numeric = (up - down) / (2 * h), error = std::fabs(numeric - dx[i]) / greatest;
          if (form == Form::linear && (std::fabs(keep) < 2 * h)) continue;
          ASSERT_LE(error, 1e-6) << name << "[" << i << "] " << numeric << " " << dx[i] << " case " << times;
        }
      };
      check(c.q.values, d.q.values, "q");
      check(c.k.values, d.k.values, "k");
      check(c.v.values, d.v.values, "v");
      check(c.bias.values, d.bias.values, "bias");
      check(c.age, d.age, "age");
      check(c.importance, d.importance, "importance");
      if (form == Form::time_decayed) {
        for (auto [setting, gradient] : {std::pair{&Settings::tau, d.tau}, std::pair{&Settings::temperature, d.temperature}}) {
          const double keep = c.settings.*setting;
          if (keep == 0) continue;
          c.settings.*setting = keep + 1e-5;
          const double up = value();
          c.settings.*setting = keep - 1e-5;
          const double down = value();
          c.settings.*setting = keep;
          ASSERT_NEAR((up - down) / 2e-5, gradient, 1e-6 * std::max(greatest, std::fabs(gradient)));
        }
      }
      for (std::size_t p = 0; p < c.parameters.size(); ++p) check(c.parameters[p].value.values, d.parameters[p].value.values, c.parameters[p].name);
      for (std::size_t j = 0; j < c.keys.size(); ++j)
        if (c.keys[j] == 0) {
          for (const double x : d.k.row(j)) ASSERT_EQ(x, 0);
          for (const double x : c.v.values.empty() ? std::span<double>() : d.v.row(j)) ASSERT_EQ(x, 0);
        }
    }
  }
}

TEST(Forms, FloatAsDouble) {
  for (const Form form : all) {
    Random r(99);
    for (int times = 0; times < 300; ++times) {
      const Case<double> c = random_case(r, form);
      const Case<float> f = as<float>(c);
      const Output<double> a = run(c);
      const Output<float> b = run(f);
      for (std::size_t i = 0; i < a.out.values.size(); ++i) ASSERT_NEAR(a.out.values[i], b.out.values[i], 1e-4 * (1 + std::fabs(a.out.values[i])));
      const Array<double> g = random_array<double>(r, a.out.rows, a.out.columns);
      const auto gf = as<float>(g);
      const auto da = of<double>(form).backward(c.settings, c.parameters, c.input(), of<double>(form).sizes(c.settings, c.input()).value(), a, View<const double>(g), {});
      const auto db = of<float>(form).backward(f.settings, f.parameters, f.input(), of<float>(form).sizes(f.settings, f.input()).value(), b, View<const float>(gf), {});
      for (std::size_t i = 0; i < da.q.values.size(); ++i) ASSERT_NEAR(da.q.values[i], db.q.values[i], 1e-3 * (1 + std::fabs(da.q.values[i])));
      for (std::size_t i = 0; i < da.k.values.size(); ++i) ASSERT_NEAR(da.k.values[i], db.k.values[i], 1e-3 * (1 + std::fabs(da.k.values[i])));
    }
  }
}

TEST(Forms, StreamIsBatch) {
  for (const Form form : all) {
    if (form == Form::fastformer) continue;
    const bool fixed = form == Form::additive || form == Form::candidate_pooling || form == Form::time_decayed;
    Random r(5);
    for (int times = 0; times < 300; ++times) {
      Case<double> c = random_case(r, form);
      c.keys.clear();
      c.settings.normaliser = Normaliser::softmax;
      c.mask = {.causal = !fixed && !pools(form)};
      c.bias = {};
      if (fixed) {
        c.q.rows = 1;
        c.q.values.resize(c.q.columns);
      }
      double now = 0;
      std::vector<double> at;
      Stream<double> s{.settings = c.settings, .parameters = c.parameters, .key_columns = c.k.columns, .value_columns = c.v.columns};
      if (fixed) s.query = c.q;
      ASSERT_TRUE(of<double>(form).start(s).has_value());
      for (std::size_t i = 0; i < c.k.rows; ++i) {
        const double dt = static_cast<double>(pick(r, 0, 20)) / 10;
        now += dt;
        at.push_back(now);
        of<double>(form).push(s, c.k.row(i), c.v.values.empty() ? std::span<const double>() : c.v.row(i), dt, c.importance.empty() ? 1 : c.importance[i]);
        ++s.seen;
        Case<double> part = c;
        part.k.rows = i + 1;
        part.k.values.resize(part.k.rows * part.k.columns);
        if (!part.v.values.empty()) {
          part.v.rows = i + 1;
          part.v.values.resize(part.v.rows * part.v.columns);
        }
        if (!part.importance.empty()) part.importance.resize(i + 1);
        if (!part.age.empty()) part.age.resize(i + 1);
        for (std::size_t j = 0; j < part.age.size(); ++j) part.age[j] = now - at[j];
        if (!fixed && !pools(form) && i >= c.q.rows) break;
        const Output<double> o = run(part);
        const auto out = of<double>(form).ask(s, fixed || pools(form) ? std::span<const double>() : c.q.row(i));
        const double* row = fixed || pools(form) ? o.out.values.data() : o.out.row(i).data();
        if (pools(form)) { ASSERT_EQ(out.size(), o.out.values.size()); } else { ASSERT_EQ(out.size(), o.out.columns); }
        for (std::size_t j = 0; j < out.size(); ++j) ASSERT_NEAR(out[j], row[j], 1e-11);
      }
    }
  }
}

// No keys, no queries, nothing to be seen, NaN where nothing may be read; and a caller's threads, which change no bit.
template <class T>
void edges(Form form) {
  Random r(static_cast<unsigned>(form) + 70);
  const auto threads = [](void*, std::size_t n, void (*task)(void*, std::size_t, std::size_t), void* argument) {
    std::vector<std::jthread> running;
    for (std::size_t i = n; i-- > 0;) running.emplace_back([=] { task(argument, i, i); });
  };
  const Executor executor{.threads = 64, .run = threads};
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (int times = 0; times < 60; ++times) {
    Case<T> c = as<T>(random_case(r, form));
    const int kind = times % 4;
    const auto shorten = [](Array<T>& a, std::size_t rows) {
      a.rows = rows;
      a.values.resize(rows * a.columns);
    };
    if (kind == 0) {  // no keys
      for (Array<T>* a : {&c.k, &c.v}) shorten(*a, 0);
      if (form == Form::fastformer) shorten(c.q, 0);
      c.keys.clear();
      c.age.clear();
      c.importance.clear();
      c.bias = Array<T>(c.bias.rows, 0);
    } else if (kind == 1 && !pools(form)) {  // no queries
      shorten(c.q, 0);
      c.bias = {};
      if (form == Form::fastformer) {
        shorten(c.k, 0);
        shorten(c.v, 0);
        c.keys.clear();
      }
    } else if (kind == 2) {
      c.keys.assign(c.k.rows, 0);
    }
    for (std::size_t j = 0; j < c.keys.size(); ++j)
      if (c.keys[j] == 0) {
        for (Array<T>* a : {&c.k, &c.v})
          for (T& x : a->values.empty() ? std::span<T>() : a->row(j)) x = nan;
        if (!c.age.empty()) c.age[j] = nan;
        if (!c.importance.empty()) c.importance[j] = -1;
      }
    Input<T> in = c.input();
    if (c.q.columns != 0) in.q = {c.q.values.data(), c.q.rows, c.q.columns};
    if (c.v.columns != 0) in.v = {c.v.values.data(), c.v.rows, c.v.columns};
    const bool weights = form != Form::fastformer;
    const auto seen = forward<T>(c.settings, c.parameters, in, {.weights = weights});
    ASSERT_TRUE(seen) << seen.error().text() << " form " << static_cast<int>(form) << " kind " << kind;
    const Array<T> d = random_array<T>(r, seen->out.rows, seen->out.columns);
    const auto gradients = backward<T>(c.settings, c.parameters, in, *seen, View<const T>(d));
    ASSERT_TRUE(gradients) << gradients.error().text();
    const auto other = forward<T>(c.settings, c.parameters, in, {.weights = weights}, executor);
    const auto other_gradients = backward<T>(c.settings, c.parameters, in, *seen, View<const T>(d), executor);
    ASSERT_TRUE(other && other_gradients);
    EXPECT_EQ(seen->out.values, other->out.values);
    EXPECT_EQ(seen->weights.values, other->weights.values);
    EXPECT_EQ(gradients->q.values, other_gradients->q.values);
    EXPECT_EQ(gradients->k.values, other_gradients->k.values);
    EXPECT_EQ(gradients->v.values, other_gradients->v.values);
    for (std::size_t p = 0; p < c.parameters.size(); ++p) EXPECT_EQ(gradients->parameters[p].value.values, other_gradients->parameters[p].value.values);
    if (kind == 1 || kind == 3) continue;
    for (const std::vector<T>* zeros : {&seen->out.values, &seen->weights.values, &gradients->k.values, &gradients->v.values, &gradients->q.values})
      for (const T x : *zeros) ASSERT_EQ(x, 0) << "form " << static_cast<int>(form) << " kind " << kind;
  }
}
TEST(Forms, EdgesAndThreads) {
  for (const Form form : all) {
    edges<double>(form);
    edges<float>(form);
  }
}

}  // namespace
}  // namespace weir::attention
