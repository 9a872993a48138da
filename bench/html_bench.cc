// weir_html_bench [FOLDER|FILE…]: megabytes a second of one core for cleaning, plain text and a page's links, best of five, over HTML files; without a name
// over an article made here.
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "html/html.h"

namespace {

double used() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// What a feed carries: some 2.7 kB with a picture, links, emphasis, a list.
std::string article(int n) {
  std::string out = fmt::format(
      "<div class=\"entry\"><p>The committee met on day {} to discuss <a href=\"/budget/{}?ref=rss\">the budget</a> &amp; its consequences.</p>\n", n, n);
  for (int i = 0; i < 7; ++i)
    out += fmt::format(
        "<p style=\"margin:0\">Paragraph {} says that <em>nothing</em> was decided, although <strong>several members</strong> had asked for it; the matter "
        "&#8217;goes on&#8217; as it did before, "
        "and whoever reads this far finds another <a class=x href=\"https://example.org/{}/{}\" target=_blank>link</a> in the sentence, which ends here.</p>\n",
        i, n, i);
  return out + fmt::format("<img src=\"images/{}.jpg\" width=640 height=480 alt=\"A picture\"><ul><li>one<li>two<li>three</ul><script>track({})</script></div>",
                           n, n);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace weir;
  std::vector<std::string> pages;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) {
      if (auto page = read_file(argv[i])) pages.push_back(std::move(*page));
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i]))
      if (entry.path().extension() == ".html")
        if (auto page = read_file(entry.path())) pages.push_back(std::move(*page));
  }
  if (pages.empty())
    for (int n = 0; n < 4000; ++n) pages.push_back(article(n));
  std::size_t bytes = 0;
  for (const std::string& page : pages) bytes += page.size();
  fmt::print("{} documents, {:.1f} MB, {:.1f} kB each\n", pages.size(), bytes / 1e6, static_cast<double>(bytes) / 1e3 / static_cast<double>(pages.size()));
  const auto race = [&](std::string_view name, auto&& work) {
    double best = 1e9, worst_page = 0;
    std::size_t out = 0;
    for (int round = 0; round < 5; ++round) {
      const double begin = used();
      out = 0;
      for (const std::string& page : pages) {
        const double page_begin = used();
        out += work(page);
        worst_page = std::max(worst_page, used() - page_begin);
      }
      best = std::min(best, used() - begin);
    }
    fmt::print("{:<24} {:7.1f} MB/s, {:6.2f} us a document, worst {:.2f} ms, {:.1f} MB out\n", name, static_cast<double>(bytes) / best / 1e6,
               best / static_cast<double>(pages.size()) * 1e6, worst_page * 1e3, static_cast<double>(out) / 1e6);
  };
  race("clean", [](const std::string& page) { return html::clean(page, "https://example.org/a/", {.text = false}).html.size(); });
  race("clean, with text", [](const std::string& page) { return html::clean(page, "https://example.org/a/").html.size(); });
  race("resolve only", [](const std::string& page) { return html::clean(page, "https://example.org/a/", {.resolve_only = true, .text = false}).html.size(); });
  race("text", [](const std::string& page) { return html::to_text(page).size(); });
  race("read_page", [](const std::string& page) { return html::read_page(page, "https://example.org/a/").links.size(); });
}
