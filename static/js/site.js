// Small helpers around htmx. Every page can be read, and every form sent, without this file.
(() => {
  const html = document.documentElement;
  const byId = (id) => document.getElementById(id);

  // --- Theme -----------------------------------------------------------------------------------------------------
  const toggleTheme = () => {
    const next = html.dataset.bsTheme === "dark" ? "light" : "dark";
    html.dataset.bsTheme = next;
    try { localStorage.setItem("theme", next); } catch { /* a private window forgets the choice */ }
  };

  // --- Toasts ----------------------------------------------------------------------------------------------------
  const SHOWN_MS = 8000;

  const toast = (message, tone = "ok") => {
    const shelf = byId("toasts");
    const item = byId("toast-template").content.firstElementChild.cloneNode(true);
    item.querySelector("p").textContent = message;
    item.classList.toggle("cp-toast-bad", tone === "bad");
    shelf.append(item);
    expire(item);
  };

  // A refusal stays until it is closed; good news leaves by itself unless someone is reading it.
  const expire = (item) => {
    if (item.classList.contains("cp-toast-bad")) return;
    setTimeout(function leave() {
      if (item.matches(":hover, :focus-within")) setTimeout(leave, SHOWN_MS);
      else item.remove();
    }, SHOWN_MS);
  };

  document.addEventListener("toast", (event) => toast(event.detail.message, event.detail.tone));

  // --- Dialog ----------------------------------------------------------------------------------------------------
  // Links with hx-target="#dialog-body" load a confirmation; it opens when it has arrived.
  const dialog = byId("dialog");

  const openWhenFilled = () => {
    if (!dialog || dialog.open || !byId("dialog-body").childElementCount) return;
    dialog.showModal();
    dialog.querySelector("[autofocus], input:not([type=hidden]), textarea, select")?.focus();
  };

  dialog?.addEventListener("close", () => byId("dialog-body").replaceChildren());
  dialog?.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  // --- Polling ---------------------------------------------------------------------------------------------------
  // The server writes the delay into data-poll, and leaves it out when there is nothing more to wait for.
  const RETRY_MS = 5000;
  const timers = new WeakMap();

  const schedule = (element, delay) => {
    clearTimeout(timers.get(element));
    timers.set(element, setTimeout(() => {
      timers.delete(element);
      if (!element.isConnected || !element.dataset.poll) return;
      if (document.hidden) {
        document.addEventListener("visibilitychange", () => schedule(element, 0), { once: true });
      } else {
        window.htmx.trigger(element, "poll");
      }
    }, delay));
  };

  const watchPolls = (delay) => {
    document.querySelectorAll("[data-poll]").forEach((element) => {
      if (!timers.has(element)) schedule(element, delay ?? Number(element.dataset.poll));
    });
  };

  // --- What htmx tells -------------------------------------------------------------------------------------------
  const isPoll = (event) => event.detail?.ctx?.sourceEvent?.type === "poll";
  let lost = false;

  document.addEventListener("htmx:before:request", (event) => {
    if (!isPoll(event)) html.classList.add("cp-is-busy");
  });

  document.addEventListener("htmx:finally:request", () => {
    html.classList.remove("cp-is-busy");
    openWhenFilled();
    watchPolls(lost ? RETRY_MS : undefined);
  });

  document.addEventListener("htmx:after:request", () => { lost = false; });

  document.addEventListener("htmx:error", (event) => {
    if (!event.detail?.ctx || lost) return;
    lost = true;
    toast(html.dataset.lost, "bad");
  });

  // --- Dropping files --------------------------------------------------------------------------------------------
  const zoneOf = (event) => event.target.closest?.("[data-drop]");

  ["dragover", "dragleave", "drop"].forEach((kind) => document.addEventListener(kind, (event) => {
    const zone = zoneOf(event);
    if (!zone) return;
    event.preventDefault();
    zone.classList.toggle("drop-over", kind === "dragover");
    if (kind === "drop") zone.querySelector("input[type=file]").files = event.dataTransfer.files;
  }));

  // --- Clicks and keys -------------------------------------------------------------------------------------------
  document.addEventListener("click", async (event) => {
    const target = event.target;
    if (target.closest("[data-theme-toggle]")) toggleTheme();
    if (target.closest("[data-close-dialog]")) { event.preventDefault(); dialog?.close(); }
    target.closest("[data-close-toast]")?.closest(".cp-toast").remove();
    if (target.closest("[data-print]")) window.print();
    const copy = target.closest("[data-copy]");
    if (copy) {
      await navigator.clipboard.writeText(copy.dataset.copy);
      toast(html.dataset.copied);
    }
    document.querySelectorAll("details.cp-user[open], details.cp-menu[open]").forEach((menu) => { if (!menu.contains(target)) menu.open = false; });
  });

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    const wantsSearch = (event.key === "k" && (event.ctrlKey || event.metaKey)) || (event.key === "/" && !typing);
    if (!wantsSearch || dialog?.open) return;
    const field = byId("search-field");
    if (field) { event.preventDefault(); field.focus(); field.select(); }
  });

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".cp-toast").forEach(expire);
    watchPolls();
  });
})();
