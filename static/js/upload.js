// Sends an adapter's files to the bucket in parts: several at once, again when one fails, and on where it stopped.
// Without this file, without the bucket, or on a page that is no secure context, the form is sent as any other.
(() => {
  const PARALLEL = 4;
  const TRIES = 6;
  const WINDOW_MS = 8000;

  const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
  const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  const sha256 = async (blob) => {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  };

  // What the server refused, in its own words; `form` is a page to show instead.
  class Refused extends Error {
    constructor(message, status, form = null) { super(message); this.status = status; this.form = form; }
  }

  const post = async (url, token, body) => {
    const isForm = body instanceof FormData;
    const response = await fetch(url, {
      method: "POST",
      headers: { "X-CSRFToken": token, ...(isForm ? {} : { "Content-Type": "application/json" }) },
      body: isForm ? body : JSON.stringify(body),
    });
    const text = await response.text();
    if (response.ok && !response.redirected) return text ? JSON.parse(text) : null;
    if (response.headers.get("Content-Type")?.startsWith("application/json")) {
      const said = JSON.parse(text);
      throw new Refused([said.detail, said.hint].filter(Boolean).join(" "), response.status);
    }
    const page = new DOMParser().parseFromString(text, "text/html");
    throw new Refused(document.documentElement.dataset.failed, response.status, page.querySelector("form[data-upload]"));
  };

  // By XMLHttpRequest, because fetch() does not tell how much has left the machine.
  const put = (address, blob, onProgress, signal) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded));
    request.addEventListener("load", () => {
      if (request.status < 300) resolve(); else reject(new Refused("", request.status));
    });
    request.addEventListener("error", () => reject(new Error("the connection broke")));
    request.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.open("PUT", address.url);
    Object.entries(address.headers).forEach(([name, value]) => request.setRequestHeader(name, value));
    request.send(blob);
  });

  // Bytes that are on their way and those that have arrived, and how fast of late.
  class Meter {
    constructor(total, show) { this.total = total; this.show = show; this.done = 0; this.moving = new Map(); this.seen = []; }
    progress(part, bytes) { this.moving.set(part, bytes); this.tell(); }
    finish(part, bytes) { this.moving.delete(part); this.done += bytes; this.tell(); }
    fail(part) { this.moving.delete(part); this.tell(); }
    tell() {
      const now = performance.now();
      const sent = this.done + [...this.moving.values()].reduce((sum, bytes) => sum + bytes, 0);
      this.seen.push([now, sent]);
      while (this.seen.length > 2 && now - this.seen[0][0] > WINDOW_MS) this.seen.shift();
      const [first, before] = this.seen[0];
      const speed = now - first > 500 ? Math.max(0, (sent - before) / (now - first) * 1000) : 0;
      this.show(sent, this.total, speed);
    }
  }

  const left = (seconds) => seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;

  // What this browser has begun and not ended, by the files' own marks.
  const memory = (form, files) => {
    const key = `upload:${form.dataset.begin}:${files.map((file) => [file.name, file.size, file.lastModified]).join("|")}`;
    return {
      recall: () => { try { return localStorage.getItem(key) ?? ""; } catch { return ""; } },
      keep: (id) => { try { localStorage.setItem(key, id); } catch { /* then it begins anew next time */ } },
      forget: () => { try { localStorage.removeItem(key); } catch { /* nothing was kept */ } },
    };
  };

  const send = async (form, files, view, signal) => {
    const token = form.elements.csrfmiddlewaretoken.value;
    const remembered = memory(form, files);
    const words = new FormData(form);
    words.delete("files");
    files.forEach((file) => { words.append("name", file.name); words.append("size", file.size); });
    words.append("resume", remembered.recall());
    const upload = await post(form.dataset.begin, token, words);
    remembered.keep(upload.id);
    view.abortUrl = upload.abort;

    const checksums = files.map((file) => new Array(Math.ceil(file.size / upload.part_bytes)));
    const queue = files.flatMap((file, index) => checksums[index].fill("").map((_, part) => ({ file, index, number: part + 1 })));
    const meter = new Meter(files.reduce((sum, file) => sum + file.size, 0), view.progress);
    if (upload.received.some((file) => Object.keys(file).length)) view.say("resumed");

    const deliver = async (part) => {
      const blob = part.file.slice((part.number - 1) * upload.part_bytes, part.number * upload.part_bytes);
      const digest = await sha256(blob);
      checksums[part.index][part.number - 1] = digest;
      if (upload.received[part.index]?.[part.number] === digest) { meter.finish(part, blob.size); return; }
      for (let attempt = 1; ; attempt += 1) {
        try {
          const wanted = [{ file: part.index, number: part.number, sha256: digest }];
          const { parts: [address] } = await post(upload.parts, token, { parts: wanted });
          await put(address, blob, (bytes) => meter.progress(part, bytes), signal);
          meter.finish(part, blob.size);
          return;
        } catch (error) {
          meter.fail(part);
          // What our own server refuses it will refuse again; the bucket and the line deserve another try.
          const isFinal = error instanceof Refused && error.message && error.status < 500;
          if (signal.aborted || isFinal || attempt === TRIES) throw error;
          view.say("retrying");
          await wait(Math.min(10000, 500 * 2 ** attempt) * (0.5 + Math.random()));
        }
      }
    };
    const work = async () => { for (let part = queue.shift(); part && !signal.aborted; part = queue.shift()) await deliver(part); };
    await Promise.all(Array.from({ length: PARALLEL }, work));
    view.say("checking");
    const done = await post(upload.complete, token, { checksums });
    remembered.forget();
    return done.location;
  };

  const viewOf = (form) => {
    const box = form.querySelector("[data-upload-progress]");
    const bar = box.querySelector("progress");
    const words = box.querySelector("[data-upload-words]");
    const refused = form.querySelector("[data-upload-refused]");
    return {
      abortUrl: "",
      busy(is) {
        box.hidden = !is;
        if (is) refused.hidden = true;
        form.querySelectorAll("button[type=submit]").forEach((button) => { button.disabled = is; });
      },
      say(what) { words.textContent = box.dataset[what]; },
      progress(sent, total, speed) {
        bar.value = total ? sent / total : 0;
        const pace = speed ? ` · ${megabytes(speed)} MB/s · ${left((total - sent) / speed)} left` : "";
        words.textContent = `${megabytes(sent)} / ${megabytes(total)} MB${pace}`;
      },
      refuse(reason) {
        refused.querySelector("[data-upload-reason]").textContent = reason;
        refused.hidden = false;
        refused.focus();
      },
    };
  };

  let running = null;

  const start = async (form, files) => {
    const view = viewOf(form);
    const stop = new AbortController();
    running = { view, stop, token: form.elements.csrfmiddlewaretoken.value };
    view.busy(true);
    try {
      const next = await send(form, files, view, stop.signal);
      running = null;
      location.assign(next);
    } catch (error) {
      stop.abort();
      view.busy(false);
      running = null;
      if (error.name === "AbortError") return;
      if (error.form) {
        form.replaceWith(error.form);
        error.form.querySelector("[role=alert]:not([hidden])")?.focus();
      } else {
        view.refuse(error instanceof Refused && error.message ? error.message : document.documentElement.dataset.lost);
      }
    }
  };

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-upload][data-begin]") || event.submitter?.matches("[data-plain]")) return;
    const files = [...form.elements.files.files];
    if (!files.length || files.some((file) => !file.size) || !window.crypto?.subtle) return;
    event.preventDefault();
    if (!running) start(form, files);
  });

  document.addEventListener("click", (event) => {
    if (!running || !event.target.closest("[data-upload-cancel]")) return;
    running.stop.abort();
    if (running.view.abortUrl) {
      fetch(running.view.abortUrl, { method: "POST", keepalive: true, headers: { "X-CSRFToken": running.token } });
    }
  });

  // Whoever leaves by accident can come back and go on, but should know.
  window.addEventListener("beforeunload", (event) => { if (running && !running.stop.signal.aborted) event.preventDefault(); });
})();
