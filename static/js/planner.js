// A slider and the number beside it say the same. Without this file the number alone counts.
(() => {
  const numberOf = (slider) => document.getElementById(slider.dataset.mirrors);

  document.addEventListener("input", (event) => {
    const slider = event.target;
    if (slider.matches("[data-mirrors]")) {
      numberOf(slider).value = slider.value;
    } else if (slider.id) {
      const twin = document.querySelector(`[data-mirrors="${CSS.escape(slider.id)}"]`);
      if (twin) twin.value = slider.value.replaceAll(",", "");
    }
  }, true);
})();
