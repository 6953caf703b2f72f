// Shows an answer while it comes. Without this file the form is sent and the page comes back with the whole answer.
(() => {
  const html = document.documentElement;
  const byId = (id) => document.getElementById(id);
  let running = null;

  const setBusy = (form, busy) => {
    byId("playground-answer").setAttribute("aria-busy", String(busy));
    form.querySelector("[type=submit]").disabled = busy;
    form.querySelector("[data-stop]").hidden = !busy;
    document.querySelector("[data-running]").hidden = !busy;
  };

  const say = (words) => {
    const line = document.createElement("p");
    line.className = "text-bad";
    line.textContent = words;
    byId("playground-facts").replaceChildren(line);
  };

  // One JSON object per line: pieces of the answer, at last a fragment with the facts or the refusal.
  const take = (line) => {
    const told = JSON.parse(line);
    if (told.text !== undefined) {
      const box = byId("playground-answer");
      const follows = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
      box.append(told.text);
      if (follows) box.scrollTop = box.scrollHeight;
    } else {
      const fresh = new DOMParser().parseFromString(told.end, "text/html").getElementById("playground-facts");
      byId("playground-facts").replaceWith(document.adoptNode(fresh));
    }
  };

  const read = async (response) => {
    if (response.headers.get("Content-Type") !== "application/x-ndjson") throw new SyntaxError("not an answer");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let waiting = "";
    let isOver = false;
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (waiting + part.value).split("\n");
      waiting = lines.pop();
      lines.forEach((line) => { take(line); isOver ||= line.startsWith('{"end"'); });
    }
    if (!isOver) throw new TypeError("cut");
  };

  const send = async (form) => {
    running = new AbortController();
    byId("playground-answer").replaceChildren();
    byId("playground-facts").replaceChildren();
    setBusy(form, true);
    byId("playground-answer").scrollIntoView({ block: "nearest" });
    try {
      await read(await fetch(form.action || location.href, {
        method: "POST",
        body: new FormData(form),
        headers: { Accept: "application/x-ndjson" },
        credentials: "same-origin",
        signal: running.signal,
      }));
    } catch (error) {
      if (error.name === "AbortError") say(form.dataset.stopped);
      else say(error instanceof SyntaxError ? html.dataset.failed : html.dataset.lost);
    } finally {
      running = null;
      setBusy(form, false);
    }
  };

  document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-playground]")) return;
    event.preventDefault();
    if (!running) send(event.target);
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-stop]")) running?.abort();
  });
})();
