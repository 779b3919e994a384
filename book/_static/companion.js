// A click, Enter or space on a picture shows it enlarged in a dialog; sliders are left alone.
document.addEventListener("DOMContentLoaded", () => {
  // docutils calls the bibliography a list whose entries are no list items
  document.querySelectorAll(".citation-list[role=list]").forEach((list) => list.removeAttribute("role"));
  const box = document.createElement("dialog");
  box.className = "ss-box";
  box.innerHTML =
    '<form method="dialog"><button aria-label="Close enlarged image"><img alt="Nothing enlarged"></button></form><p></p>';
  document.body.append(box);
  document.querySelectorAll(".bd-article figure img, .bd-article .cell_output img").forEach((im) => {
    if (im.closest(".ss-slider")) return;
    im.classList.add("ss-zoom");
    const link = im.closest("a.image-reference");
    const target = link || im;
    if (!link) {
      im.tabIndex = 0;
      im.setAttribute("role", "button");
      im.setAttribute("aria-label", "Enlarge: " + im.alt);
    }
    const open = (e) => {
      e.preventDefault();
      const big = box.querySelector("img");
      big.src = link ? link.href : im.src;
      big.alt = im.alt;
      box.querySelector("p").textContent =
        im.closest("figure")?.querySelector(".caption-text")?.textContent ?? "";
      box.showModal();
    };
    target.addEventListener("click", open);
    target.addEventListener("keydown", (e) => {
      if (e.key === "Enter" || e.key === " ") open(e);
    });
  });
});
