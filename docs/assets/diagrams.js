// Draws the fences of the language mermaid with the vendored script, which only pages with pictures load.
(() => {
  const pictures = document.querySelectorAll("pre.diagram");
  if (!pictures.length) return;
  const here = document.currentScript.src;
  const dark = document.body.dataset.mdColorScheme === "slate";
  const script = document.createElement("script");
  script.src = new URL("mermaid.tiny.js", here);
  script.onload = async () => {
    mermaid.initialize({ startOnLoad: false, securityLevel: "strict", theme: dark ? "dark" : "neutral" });
    for (const [number, picture] of [...pictures].entries()) {
      const { svg } = await mermaid.render(`picture-${number}`, picture.textContent);
      const drawn = document.createElement("div");
      drawn.className = "diagram";
      drawn.innerHTML = svg;
      picture.replaceWith(drawn);
    }
  };
  document.head.append(script);
})();
