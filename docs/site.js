// What the theme's own script makes without a name of its own, or out of the keyboard's reach.
(() => {
  const name = (found, text) => {
    if (found.getAttribute("aria-label") === text) return;
    found.removeAttribute("aria-labelledby");
    found.setAttribute("aria-label", text);
  };
  const mend = () => {
    document.querySelectorAll(".md-search[role=dialog]").forEach((found) => name(found, "Search"));
    document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code").forEach((found) => { found.tabIndex = 0; });
    document.querySelectorAll(".md-typeset pre > code").forEach((found) => {
      found.classList.toggle("command", /^\s*(memgen|make|pip|python) /.test(found.textContent));
    });
    document.querySelectorAll("nav.md-code__nav").forEach((found, i) => name(found, `Code block ${i + 1}`));
    document.querySelectorAll("nav.md-nav nav.md-nav").forEach((found, i) => {
      const title = found.querySelector(":scope > .md-nav__title");
      name(found, `${title ? title.textContent.trim() : "Pages"}, list ${i + 1}`);
    });
  };
  mend();
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
})();
