// On the search page: pages that are about the query come first, then what Sphinx found by its words.
(function () {
  "use strict";
  const WEIGHTS = [8, 6, 7, 1]; // of names, topics, people, text
  const split = (text) => text.toLowerCase().normalize("NFKD").replace(/\p{Mark}/gu, "").match(/[\p{Letter}\p{Number}]+/gu) || [];

  function prepare(topics) {
    const stemmer = new Stemmer();
    const stem = (word) => stemmer.stemWord(word);
    const fold = (text) => ` ${split(text).map(stem).join(" ")} `;
    // "Tip-Adapter" is found as tip, as adapter and as tipadapter
    const joined = (text) => (text.match(/[\p{Letter}\p{Number}]+(?:-[\p{Letter}\p{Number}]+)+/gu) || []).map((word) => word.replace(/-/g, "")).join(" ");
    const pages = topics.map((topic) => ({ ...topic, fields: topic.words.map((words) => fold(`${words} ${joined(words)}`)) }));
    return { pages, fold, stem };
  }

  function matched(field, word) {
    if (field.includes(` ${word} `)) return 1;
    return word.length > 2 && field.includes(` ${word}`) ? 0.5 : 0;
  }

  function rank({ pages, fold }, query) {
    const wanted = fold(query);
    const words = [...new Set(wanted.trim().split(" "))].filter((word) => word && !stopwords.includes(word));
    if (!words.length) return [];
    const rarity = words.map((word) => Math.log(1 + pages.length / (1 + pages.filter(({ fields }) => fields.some((field) => matched(field, word))).length)));
    const scored = pages.map((page) => {
      const best = words.map((word) => Math.max(...page.fields.map((field, place) => WEIGHTS[place] * matched(field, word))));
      const covered = best.filter((value) => value > 0).length / words.length;
      // the query as it stands, in a name or a topic, counts for more than its words apart
      const whole = words.length > 1 ? page.fields.reduce((sum, field, place) => sum + (field.includes(wanted) ? 2 * WEIGHTS[place] : 0), 0) : 0;
      const ready = page.at[1] ? 1 : 1.3; // a page is more than a line about a planned one
      return { page, score: ready * covered ** 2 * (whole + best.reduce((sum, value, i) => sum + value * rarity[i], 0)) };
    });
    scored.sort((a, b) => b.score - a.score);
    return scored.filter(({ score }) => score > 0 && score >= 0.4 * scored[0].score).slice(0, 10);
  }

  document.addEventListener("DOMContentLoaded", () => {
    const known = prepare(TOPICS);
    const theirs = Search._performSearch;
    Search._performSearch = (query, ...rest) => {
      const ours = rank(known, query).map(({ page, score }) => [page.at[0], page.title, page.at[1], page.note || null, score, `${page.at[0]}.md`]);
      const others = theirs(query, ...rest).filter((found) => !ours.some((mine) => mine[0] === found[0] && mine[2] === found[2]));
      return [...others, ...ours.reverse()]; // the last is shown first
    };
  });
})();
