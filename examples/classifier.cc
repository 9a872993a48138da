// A small text classifier with attention pooling, learned from a file of lines "label<TAB>text"; says how many held-out lines it gets right and draws which
// words carried each decision.
//
//   classifier examples/lines.txt [--test FILE] [--form dot_pooling|multi_head_pooling|additive|mean] [--heads N] [--layer multi_head|fastformer|linear|…]
//              [--layer-heads N] [--columns N] [--epochs N] [--show N] [--seed N] [--hide N]
//
// A word's vector is learned (a row of a hashed table, plus one for it and its successor); with --layer, words look at each other first (x + layer(x));
// pooling mixes the vectors of a line into one; a linear layer turns that into a number for each label. Gradients of both attentions come from
// weir::attention, the rest is by hand; steps are Adagrad's (Duchi 2011). What a word brings to the decision is exact: out is a mixture of the words'
// vectors, so the margin between two labels is a sum over words.
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <random>

#include "words.h"

using namespace weir::attention;
using weir::Result;

namespace {

constexpr std::size_t buckets = 1 << 16;

struct Arguments {
  std::string file, test, form = "dot_pooling", layer;
  std::size_t heads = 1, layer_heads = 4, columns = 32, epochs = 12, show = 6, seed = 1, hide = 4;
};

struct Line {
  std::size_t label = 0;
  std::vector<std::string> words;
  std::vector<std::size_t> rows;  // of the table: two a word
};

// Numbers that are learned, and how much each has moved.
struct Learned {
  std::vector<float> values, squares;
  explicit Learned(std::size_t n = 0) : values(n), squares(n, 1e-3f) {}
  void step(std::size_t i, float gradient, float rate) {
    squares[i] += gradient * gradient;
    values[i] -= rate * gradient / std::sqrt(squares[i]);
  }
};

// One attention whose parameters are learned.
struct Attention {
  Settings settings;
  Parameters<float> parameters;
  std::vector<Learned> moved;  // beside them

  void step(const Parameters<float>& gradients, float rate) {
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      moved[p].values.swap(parameters[p].value.values);
      for (std::size_t i = 0; i < moved[p].values.size(); ++i) moved[p].step(i, gradients[p].value.values[i], rate);
      moved[p].values.swap(parameters[p].value.values);
    }
  }
};

struct Model {
  std::vector<std::string> labels;
  Learned table;                         // [buckets × columns]
  bool mixes = false, mean = false;      // mean: the pooling's query stays zero
  Attention layer, pooling;
  Learned weights, bias;                 // [labels × heads·columns], [labels]
  std::size_t columns = 0, wide = 0;     // wide: heads·columns
};

// The form of that name among those that fit here.
Result<Attention> make_attention(std::string_view name, std::span<const Form> fitting, Settings settings, std::uint64_t seed) {
  std::string names;
  for (const FormRow& row : forms()) {
    if (std::find(fitting.begin(), fitting.end(), row.form) == fitting.end()) continue;
    names += (names.empty() ? "" : ", ") + std::string(row.name);
    if (row.name != name) continue;
    settings.form = row.form;
    if (!row.has_parameters) settings.model = 0;
    Attention attention{settings, WEIR_TRY(initialise<float>(settings, seed)), {}};
    for (const Parameter<float>& parameter : attention.parameters) attention.moved.emplace_back(parameter.value.values.size());
    return attention;
  }
  return weir::fail(weir::Code::invalid, "expected one of " + names + ", found " + std::string(name), "--form or --layer");
}

Result<std::vector<Line>> read(const std::string& name, std::vector<std::string>& labels) {
  std::ifstream file(name);
  if (!file) return weir::fail(weir::Code::not_found, "no such file", name);
  std::vector<Line> lines;
  std::size_t number = 0;
  for (std::string text; std::getline(file, text);) {
    ++number;
    if (text.empty()) continue;
    const std::size_t tab = text.find('\t');
    if (tab == std::string::npos) return weir::fail(weir::Code::malformed, "expected label<TAB>text", name + ":" + std::to_string(number));
    Line line;
    const auto found = std::find(labels.begin(), labels.end(), text.substr(0, tab));
    line.label = static_cast<std::size_t>(found - labels.begin());
    if (found == labels.end()) labels.push_back(text.substr(0, tab));
    line.words = split(std::string_view(text).substr(tab + 1));
    for (std::size_t i = 0; i < line.words.size(); ++i) {
      line.rows.push_back(hash(line.words[i]) % buckets);
      line.rows.push_back(hash(line.words[i] + " " + (i + 1 < line.words.size() ? line.words[i + 1] : "")) % buckets);
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

Result<Model> make_model(const Arguments& arguments, std::vector<std::string> labels) {
  Model model;
  static constexpr Form layers[] = {Form::dot_product, Form::multi_head, Form::fastformer, Form::linear, Form::performer};
  static constexpr Form poolings[] = {Form::dot_pooling, Form::multi_head_pooling, Form::additive};
  model.columns = arguments.columns;
  model.wide = arguments.heads * arguments.columns;
  model.labels = std::move(labels);
  model.mean = arguments.form == "mean";
  model.mixes = !arguments.layer.empty();
  model.pooling = WEIR_TRY(make_attention(model.mean ? "dot_pooling" : std::string_view(arguments.form), poolings, {.heads = arguments.heads, .model = model.columns}, arguments.seed));
  if (model.mean) std::fill(model.pooling.parameters[0].value.values.begin(), model.pooling.parameters[0].value.values.end(), 0.0f);
  if (model.mixes) model.layer = WEIR_TRY(make_attention(arguments.layer, layers, {.heads = arguments.layer_heads, .model = model.columns}, arguments.seed + 1));
  model.table = Learned(buckets * model.columns);
  model.weights = Learned(model.labels.size() * model.wide);
  model.bias = Learned(model.labels.size());
  std::mt19937 random(static_cast<unsigned>(arguments.seed));
  std::normal_distribution<float> normal(0, 0.1f);
  for (float& x : model.table.values) x = normal(random);
  return model;
}

// One line through the model: its words' vectors, what attention made of them, a probability for each label.
struct Seen {
  Array<float> x, mixed, q;      // the words' vectors; after the layer; what the pooling is asked, where it is
  Output<float> layer, output;
  std::vector<float> scores, probability;
  std::vector<std::uint8_t> there;  // the words that may be seen; empty: all
  Input<float> mixing() const { return {.q = x, .k = x, .v = x, .mask = {.keys = there}}; }
  Input<float> pooled() const { return {.q = q, .k = mixed, .mask = {.keys = there}}; }
};

Result<Seen> look(const Model& model, const Line& line, std::vector<std::uint8_t> there = {}) {
  Seen seen;
  seen.there = std::move(there);
  seen.x = Array<float>(line.words.size(), model.columns);
  if (model.pooling.settings.form == Form::additive) seen.q = Array<float>(1, model.columns);  // zeros: its bias is what it asks
  for (std::size_t i = 0; i < line.rows.size(); ++i)
    for (std::size_t c = 0; c < model.columns; ++c) seen.x.row(i / 2)[c] += model.table.values[line.rows[i] * model.columns + c];
  seen.mixed = seen.x;
  if (model.mixes) {
    seen.layer = WEIR_TRY(forward<float>(model.layer.settings, model.layer.parameters, seen.mixing()));
    for (std::size_t i = 0; i < seen.mixed.values.size(); ++i) seen.mixed.values[i] += seen.layer.out.values[i];
  }
  seen.output = WEIR_TRY(forward<float>(model.pooling.settings, model.pooling.parameters, seen.pooled()));
  seen.scores = model.bias.values;
  for (std::size_t l = 0; l < seen.scores.size(); ++l)
    for (std::size_t c = 0; c < model.wide; ++c) seen.scores[l] += model.weights.values[l * model.wide + c] * seen.output.out.values[c];
  const float top = *std::max_element(seen.scores.begin(), seen.scores.end());
  float total = 0;
  for (const float score : seen.scores) total += seen.probability.emplace_back(std::exp(score - top));
  for (float& p : seen.probability) p /= total;
  return seen;
}

// One step on one line; its loss. `hide` of ten words are hidden each time, so that no decision hangs on one word alone; attention moves slower than the
// vectors it looks at.
Result<float> learn(Model& model, const Line& line, float rate, std::size_t hide, std::mt19937& random) {
  std::vector<std::uint8_t> there(line.words.size());
  for (std::uint8_t& word : there) word = random() % 10 >= hide;
  const Seen seen = WEIR_TRY(look(model, line, std::move(there)));
  Array<float> d_out(seen.output.out.rows, seen.output.out.columns);
  for (std::size_t l = 0; l < model.labels.size(); ++l) {
    const float d_score = seen.probability[l] - (l == line.label ? 1.0f : 0.0f);
    for (std::size_t c = 0; c < model.wide; ++c) d_out.values[c] += d_score * model.weights.values[l * model.wide + c];
    for (std::size_t c = 0; c < model.wide; ++c) model.weights.step(l * model.wide + c, d_score * seen.output.out.values[c], rate);
    model.bias.step(l, d_score, rate);
  }
  auto pooling = WEIR_TRY(backward<float>(model.pooling.settings, model.pooling.parameters, seen.pooled(), seen.output, d_out));
  Array<float>& d_x = pooling.k;
  if (!model.mean) model.pooling.step(pooling.parameters, rate / 10);
  if (model.mixes) {
    const auto layer = WEIR_TRY(backward<float>(model.layer.settings, model.layer.parameters, seen.mixing(), seen.layer, d_x));
    for (std::size_t i = 0; i < d_x.values.size(); ++i) d_x.values[i] += layer.q.values[i] + layer.k.values[i] + layer.v.values[i];
    model.layer.step(layer.parameters, rate / 10);
  }
  for (std::size_t i = 0; i < line.rows.size(); ++i)
    for (std::size_t c = 0; c < model.columns; ++c) model.table.step(line.rows[i] * model.columns + c, d_x.row(i / 2)[c], rate);
  return -std::log(std::max(seen.probability[line.label], 1e-12f));
}

// What every word brings to the margin between the label chosen and the next one: green for it, red against it; plain numbers where there is no terminal.
weir::Status draw(const Model& model, const Line& line) {
  const Seen seen = WEIR_TRY(look(model, line));
  std::vector<std::size_t> order(model.labels.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return seen.scores[a] > seen.scores[b]; });
  const std::size_t first = order[0], second = order.size() > 1 ? order[1] : order[0];
  std::vector<float> parts(line.words.size());
  for (std::size_t head = 0; head < model.pooling.settings.heads; ++head) {
    std::vector<float> direction(model.columns);
    for (std::size_t c = 0; c < model.columns; ++c) {
      const std::size_t at = head * model.columns + c;
      direction[c] = model.weights.values[first * model.wide + at] - model.weights.values[second * model.wide + at];
    }
    const auto why = WEIR_TRY(explain<float>(model.pooling.settings, model.pooling.parameters, seen.pooled(), 0, head, direction));
    for (std::size_t i = 0; i < parts.size(); ++i) parts[i] += why.part[i];
  }
  const bool colour = isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
  std::printf("%s, not %s, by %+.2f%s:", model.labels[first].c_str(), model.labels[second].c_str(), static_cast<double>(seen.scores[first] - seen.scores[second]),
              first == line.label ? "" : (" (wrong: " + model.labels[line.label] + ")").c_str());
  float most = 1e-6f;
  for (const float part : parts) most = std::max(most, std::abs(part));
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const int strength = static_cast<int>(5 * std::abs(parts[i]) / most);  // 22…46 are xterm's greens, 52…196 its reds
    if (colour && strength > 0) std::printf(" \033[%s;48;5;%dm%s\033[0m", strength > 3 ? "30" : "97", parts[i] > 0 ? 16 + 6 * strength : 16 + 36 * strength, line.words[i].c_str());
    else if (colour) std::printf(" %s", line.words[i].c_str());
    else std::printf(" %s%+.2f", line.words[i].c_str(), static_cast<double>(parts[i]));
  }
  std::printf("%s %+.2f\n", colour ? "  bias" : " |", static_cast<double>(model.bias.values[first] - model.bias.values[second]));
  return {};
}

weir::Status run(const Arguments& arguments) {
  std::vector<std::string> labels;
  std::vector<Line> train = WEIR_TRY(read(arguments.file, labels)), held;
  std::mt19937 random(static_cast<unsigned>(arguments.seed));
  std::shuffle(train.begin(), train.end(), random);
  if (!arguments.test.empty()) {
    held = WEIR_TRY(read(arguments.test, labels));
  } else {
    held.assign(train.end() - static_cast<std::ptrdiff_t>(train.size() / 5), train.end());
    train.resize(train.size() - held.size());
  }
  if (labels.size() < 2) return weir::fail(weir::Code::invalid, "expected lines of two labels or more, found " + std::to_string(labels.size()), arguments.file);
  Model model = WEIR_TRY(make_model(arguments, labels));
  std::printf("%zu lines to learn from, %zu held out, %zu labels\n", train.size(), held.size(), labels.size());
  for (std::size_t epoch = 0; epoch < arguments.epochs; ++epoch) {
    std::shuffle(train.begin(), train.end(), random);
    double loss = 0;
    for (const Line& line : train) loss += static_cast<double>(WEIR_TRY(learn(model, line, 0.1f, arguments.hide, random)));
    std::printf("epoch %zu: loss %.3f\n", epoch + 1, loss / static_cast<double>(std::max<std::size_t>(1, train.size())));
  }
  std::size_t right = 0;
  for (const Line& line : held) {
    const Seen seen = WEIR_TRY(look(model, line));
    right += std::max_element(seen.scores.begin(), seen.scores.end()) - seen.scores.begin() == static_cast<std::ptrdiff_t>(line.label);
  }
  std::printf("held out: %zu of %zu right (%.1f %%)\n", right, held.size(), held.empty() ? 0 : 100.0 * static_cast<double>(right) / static_cast<double>(held.size()));
  for (std::size_t i = 0; i < std::min(arguments.show, held.size()); ++i) WEIR_TRY(draw(model, held[i]));
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  const std::map<std::string, std::string*> texts{{"--test", &arguments.test}, {"--form", &arguments.form}, {"--layer", &arguments.layer}};
  const std::map<std::string, std::size_t*> numbers{{"--heads", &arguments.heads}, {"--layer-heads", &arguments.layer_heads}, {"--columns", &arguments.columns}, {"--epochs", &arguments.epochs}, {"--show", &arguments.show}, {"--seed", &arguments.seed}, {"--hide", &arguments.hide}};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (texts.contains(word) && i + 1 < argc) *texts.at(word) = argv[++i];
    else if (numbers.contains(word) && i + 1 < argc) *numbers.at(word) = std::strtoull(argv[++i], nullptr, 10);
    else if (!word.starts_with("--") && arguments.file.empty()) arguments.file = word;
    else return complain({weir::Code::invalid, "no such option, or its value is missing", word, "classifier FILE [--test FILE] [--form NAME] [--heads N] [--layer NAME] [--layer-heads N] [--columns N] [--epochs N] [--show N] [--seed N] [--hide N]"});
  }
  if (arguments.file.empty()) return complain({weir::Code::invalid, "expected a file of lines label<TAB>text", "", "classifier examples/lines.txt"});
  if (const auto status = run(arguments); !status) return complain(status.error());
}
