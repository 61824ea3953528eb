//! Memory for secrets of 32 bytes that the kernel leaves out of core dumps.
//!
//! ```text
//!  PAGES ─► page ─► page      each: one page of memory, 128 slots, and a bit for each slot in use
//! ```
//!
//! On Linux a slot is a part of a page that was mapped for secrets alone and is marked
//! `MADV_DONTDUMP`. Pages are never given back; there are as many as the secrets that existed at one
//! time need. Elsewhere, and if the kernel gives no memory, there are no slots, and a secret is in
//! ordinary memory.
//!
//! Slots are taken and given back without a lock, because a forked child that drops a secret must not
//! wait for a lock that a thread of its parent held. The pages are not marked `MADV_WIPEONFORK`: a
//! child may start a node with a configuration that its parent made, and zeros in place of the key
//! would be a key that everyone knows.

#[cfg(target_os = "linux")]
pub(crate) use pages::Slot;

#[cfg(not(target_os = "linux"))]
pub(crate) use none::Slot;

#[cfg(not(target_os = "linux"))]
mod none {
    use std::ops::{Deref, DerefMut};

    /// There are no slots on this system.
    pub(crate) enum Slot {}

    impl Slot {
        pub(crate) fn take() -> Option<Self> {
            None
        }
    }

    impl Deref for Slot {
        type Target = [u8; 32];

        fn deref(&self) -> &[u8; 32] {
            match *self {}
        }
    }

    impl DerefMut for Slot {
        fn deref_mut(&mut self) -> &mut [u8; 32] {
            match *self {}
        }
    }
}

#[cfg(target_os = "linux")]
mod pages {
    #![expect(unsafe_code, reason = "memory from the kernel, and references into it")]

    use std::ops::{Deref, DerefMut};
    use std::ptr::{self, NonNull};
    use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

    use zeroize::Zeroize as _;

    const SLOT_BYTES: usize = 32;
    const SLOTS: usize = 128;
    /// The smallest page of any system. A larger one is used only at its start.
    const PAGE_BYTES: usize = SLOT_BYTES * SLOTS;
    const WORDS: usize = SLOTS / 64;

    /// The page that was added last.
    static PAGES: AtomicPtr<Page> = AtomicPtr::new(ptr::null_mut());

    /// A page and what is known about it. It lives as long as the process.
    struct Page {
        memory: NonNull<[u8; SLOT_BYTES]>,
        /// A bit for each slot that is in use.
        used: [AtomicU64; WORDS],
        next: Option<&'static Page>,
    }

    impl Page {
        /// Takes a slot that is not in use.
        fn take(&'static self) -> Option<Slot> {
            for (word, used) in self.used.iter().enumerate() {
                // Each turn takes a slot, or finds that another thread has taken one.
                while let free @ 0..64 = used.load(Ordering::Relaxed).trailing_ones() {
                    let bit = 1 << free;
                    if used.fetch_or(bit, Ordering::Acquire) & bit == 0 {
                        let index = word * 64 + free as usize;
                        return Some(Slot { page: self, index });
                    }
                }
            }
            None
        }
    }

    /// The place of one secret. It holds zeros when it is taken, and is erased when it is dropped.
    pub(crate) struct Slot {
        page: &'static Page,
        index: usize,
    }

    // SAFETY: a slot is the only reference to its part of the page, as a box is to its contents, and
    // all else in the page is atomic or never changes.
    unsafe impl Send for Slot {}
    // SAFETY: as above; a shared slot only gives shared references to plain bytes.
    unsafe impl Sync for Slot {}

    impl Slot {
        /// Takes a slot, and a new page if there is none left. `None` if the kernel gives no memory
        /// or cannot keep it out of core dumps.
        pub(crate) fn take() -> Option<Self> {
            let mut last = PAGES.load(Ordering::Acquire);
            // SAFETY: the pointer is null or comes from `Box::leak` below.
            let mut page = unsafe { last.as_ref() };
            while let Some(this) = page {
                if let Some(slot) = this.take() {
                    return Some(slot);
                }
                page = this.next;
            }
            let mut new = Box::new(Page {
                memory: map()?,
                used: [const { AtomicU64::new(0) }; WORDS],
                next: None,
            });
            // The first slot of a page that no other thread knows yet.
            *new.used[0].get_mut() = 1;
            let new = Box::into_raw(new);
            loop {
                // SAFETY: no other thread knows the new page yet, and `last` is as above.
                unsafe { (*new).next = last.as_ref() };
                match PAGES.compare_exchange_weak(last, new, Ordering::Release, Ordering::Acquire) {
                    // SAFETY: the page is never freed, and from now on only shared.
                    Ok(_) => return Some(Self { page: unsafe { &*new }, index: 0 }),
                    Err(other) => last = other,
                }
            }
        }

        fn place(&self) -> NonNull<[u8; SLOT_BYTES]> {
            // SAFETY: the index is below `SLOTS`, so the place is in the page.
            unsafe { self.page.memory.add(self.index) }
        }
    }

    /// Maps a page that is left out of core dumps.
    fn map() -> Option<NonNull<[u8; SLOT_BYTES]>> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: it maps new memory and changes none that exists.
        let memory = unsafe { libc::mmap(ptr::null_mut(), PAGE_BYTES, protection, flags, -1, 0) };
        if memory == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: the mapping is new, of this length, and nothing refers to it.
        let marked = unsafe { libc::madvise(memory, PAGE_BYTES, libc::MADV_DONTDUMP) } == 0;
        if !marked {
            // SAFETY: as above.
            unsafe { libc::munmap(memory, PAGE_BYTES) };
            return None;
        }
        NonNull::new(memory.cast())
    }

    impl Deref for Slot {
        type Target = [u8; SLOT_BYTES];

        fn deref(&self) -> &[u8; SLOT_BYTES] {
            // SAFETY: the place is initialised, and this slot alone refers to it.
            unsafe { self.place().as_ref() }
        }
    }

    impl DerefMut for Slot {
        fn deref_mut(&mut self) -> &mut [u8; SLOT_BYTES] {
            // SAFETY: as above, and the slot is borrowed mutably.
            unsafe { self.place().as_mut() }
        }
    }

    impl Drop for Slot {
        fn drop(&mut self) {
            self.zeroize();
            let bit = 1 << (self.index % 64);
            self.page.used[self.index / 64].fetch_and(!bit, Ordering::Release);
        }
    }

    #[cfg(test)]
    mod tests {
        use std::collections::BTreeSet;
        use std::path::{Path, PathBuf};
        use std::process::Command;

        use zeroize::Zeroizing;

        use super::*;
        use crate::config::Config;

        #[test]
        fn slots_do_not_overlap_hold_zeros_at_first_and_are_used_again() {
            let mut slots: Vec<Slot> =
                (0..3 * SLOTS).map(|_| Slot::take().expect("memory")).collect();
            let places: BTreeSet<_> = slots.iter().map(|slot| slot.place().addr()).collect();
            assert_eq!(places.len(), slots.len());
            assert!(slots.iter().all(|slot| **slot == [0; SLOT_BYTES]));
            for (number, slot) in slots.iter_mut().enumerate() {
                slot.fill(number as u8);
            }
            for (number, slot) in slots.iter().enumerate() {
                assert_eq!(**slot, [number as u8; SLOT_BYTES]);
            }
            drop(slots);
            let again: Vec<Slot> = (0..3 * SLOTS).map(|_| Slot::take().expect("memory")).collect();
            assert!(again.iter().all(|slot| **slot == [0; SLOT_BYTES]));
        }

        #[test]
        fn threads_never_get_one_slot_at_a_time() {
            let work = |mark: u8| {
                for _ in 0..200 {
                    let mut slots: Vec<Slot> =
                        (0..SLOTS).map(|_| Slot::take().expect("memory")).collect();
                    for slot in &mut slots {
                        assert_eq!(**slot, [0; SLOT_BYTES]);
                        slot.fill(mark);
                    }
                    assert!(slots.iter().all(|slot| **slot == [mark; SLOT_BYTES]));
                }
            };
            std::thread::scope(|scope| {
                for mark in 1..=4 {
                    scope.spawn(move || work(mark));
                }
            });
        }

        #[test]
        fn the_kernel_leaves_the_memory_of_a_slot_out_of_core_dumps() {
            let slot = Slot::take().expect("memory");
            let address = slot.place().addr().get();
            let smaps = std::fs::read_to_string("/proc/self/smaps").expect("Linux");
            let mut in_mapping = false;
            let flags = smaps.lines().find_map(|line| {
                let range = line.split_whitespace().next().and_then(|word| word.split_once('-'));
                let number = |text| usize::from_str_radix(text, 16).ok();
                if let Some((start, end)) = range
                    && let (Some(start), Some(end)) = (number(start), number(end))
                {
                    in_mapping = (start..end).contains(&address);
                }
                line.strip_prefix("VmFlags:").filter(|_| in_mapping)
            });
            let flags = flags.expect("the mapping");
            assert!(flags.split_whitespace().any(|flag| flag == "dd"), "{flags}");
        }

        /// The folder of the child that aborts.
        const CHILD: &str = "MESHAGE_TEST_CORE_FOLDER";
        /// Bytes that the child holds in ordinary memory, each with its bits inverted here, so that
        /// the program itself does not contain them.
        const CONTROL: [u8; 32] =
            *b"\x9f\x1c\x55\xe0\x27\x83\xd4\x6b\x0a\xfe\x91\x38\xc2\x77\x4d\xb6\
            \x13\xe8\x60\xaf\x3c\xd9\x05\x72\xbb\x46\xf1\x2e\x88\x5a\xc7\x19";

        #[test]
        fn a_core_dump_of_a_closed_node_has_no_key_and_no_identity() {
            if let Some(folder) = std::env::var_os(CHILD) {
                abort_with_secrets(Path::new(&folder));
            }
            let folder = std::env::temp_dir().join(format!("meshage-core-{}", std::process::id()));
            std::fs::create_dir(&folder).expect("a folder");
            let result = search_core(&folder);
            std::fs::remove_dir_all(&folder).expect("the folder is removed");
            if let Err(reason) = result {
                eprintln!("skipped: {reason}");
            }
        }

        /// Makes a child dump its core, and searches the file. The error says why there is none.
        fn search_core(folder: &Path) -> Result<(), String> {
            let [key, seed] =
                [(); 2].map(|()| crate::secure::files::generate_key().expect("random"));
            let secrets = [("key", key), ("identity", seed)];
            let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
            for (name, bytes) in &secrets {
                let text = format!("{}\n", hex(bytes));
                crate::secure::files::write_private(&folder.join(name), &text, false)
                    .expect("a file");
            }
            let name = std::thread::current().name().map(str::to_owned).expect("the test's name");
            let output = Command::new(std::env::current_exe().expect("this program"))
                .args(["--exact", &name, "--nocapture", "--test-threads=1"])
                .env(CHILD, folder)
                .current_dir(folder)
                .output()
                .expect("the child runs");
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(text.contains("ready to abort"), "{text}");
            let core = core_file(folder).ok_or("the system writes no core file into the folder")?;
            let core = std::fs::read(core).expect("the core is readable");
            let holds = |bytes: &[u8]| memchr_find(&core, bytes);
            let control: Vec<u8> = CONTROL.iter().map(|byte| !byte).collect();
            assert!(holds(&control), "the search does not find what is in ordinary memory");
            for (name, bytes) in &secrets {
                assert!(!holds(bytes), "the core holds the {name}");
                assert!(!holds(&bytes[..16]), "the core holds the first half of the {name}");
                assert!(!holds(&bytes[16..]), "the core holds the second half of the {name}");
                assert!(!holds(&hex(bytes).as_bytes()[..32]), "the core holds the {name} as text");
            }
            Ok(())
        }

        fn memchr_find(bytes: &[u8], wanted: &[u8]) -> bool {
            bytes.windows(wanted.len()).any(|part| part == wanted)
        }

        fn core_file(folder: &Path) -> Option<PathBuf> {
            let entries = std::fs::read_dir(folder).expect("the folder");
            let mut paths = entries.map(|entry| entry.expect("an entry").path());
            paths.find(|path| {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                name.is_some_and(|name| name.starts_with("core"))
            })
        }

        /// Reads a key and an identity as a node does, uses both, and aborts.
        fn abort_with_secrets(folder: &Path) -> ! {
            let limit =
                libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
            // SAFETY: it reads a structure on the stack. Where it is not permitted, no core is
            // written, and the test says so.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &limit) };
            let config = Config::builder("n")
                .key_file(folder.join("key"))
                .identity_file(folder.join("identity"))
                .build()
                .expect("a valid configuration");
            let security = config.security.as_ref().expect("closed");
            let identity = security.identity.as_ref().expect("an identity");
            std::hint::black_box(identity.sign(b"message"));
            let control: Vec<u8> =
                CONTROL.iter().map(|byte| !std::hint::black_box(*byte)).collect();
            let control = Zeroizing::new(control);
            eprintln!("ready to abort {}", control.len());
            std::process::abort();
        }
    }
}
