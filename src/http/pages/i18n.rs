//! Every text of the pages, in both languages. Domain values in the API and the database never change.
//!
//! A text that is missing in one language does not compile. French texts carry the narrow no-break
//! space (U+202F) that its typography puts before `: ; ! ? »` and after `«`.

use domain::Fault;
use domain::booking::{Booking, DisputeStatus, RefundStatus, Status};
use domain::business::Document;
use domain::lang::Lang;
use domain::payment::Outcome;
use domain::role::Role;

macro_rules! texts {
    ($($name:ident: $fr:literal / $en:literal),* $(,)?) => {
        /// The texts that pages show, in one language.
        #[derive(Debug)]
        #[allow(missing_docs)] // each name says what it is
        pub struct Texts { $(pub $name: &'static str),* }

        static FR: Texts = Texts { $($name: $fr),* };
        static EN: Texts = Texts { $($name: $en),* };

        #[cfg(test)]
        const PAIRS: &[(&str, &str, &str)] = &[$((stringify!($name), $fr, $en)),*];
    };
}

impl Texts {
    /// The texts of a language.
    #[must_use]
    pub fn of(lang: Lang) -> &'static Self {
        match lang {
            Lang::Fr => &FR,
            Lang::En => &EN,
        }
    }
}

texts! {
    brand: "Réservation" / "Booking",
    skip: "Aller au contenu" / "Skip to content",
    language: "Langue" / "Language",
    help: "Aide et informations" / "Help and information",
    footer: "Paiement sur une page sécurisée. Vos données de carte ne passent jamais par ce site." /
        "You pay on a secure page. Your card details never pass through this site.",
    accessibility: "Accessibilité" / "Accessibility",
    accessibility_text: "Ce site vise la conformité aux WCAG 2.2, niveau AA. Il fonctionne au clavier, sans JavaScript, jusqu’à 400 % de zoom et avec les lecteurs d’écran courants.
Chaque page est vérifiée automatiquement en français et en anglais, en thème clair et sombre, sur petit et grand écran.
La page de paiement est fournie par Stripe, qui publie sa propre déclaration.
Une difficulté ? Écrivez à la personne qui exploite ce site : elle vous répondra et, si besoin, prendra votre réservation autrement." /
        "This site aims to meet WCAG 2.2, level AA. It works by keyboard, without JavaScript, up to 400% zoom and with common screen readers.
Every page is checked automatically in French and English, in light and dark themes, on small and large screens.
The payment page is provided by Stripe, which publishes its own statement.
Something in your way? Write to whoever runs this site: they will answer and, if need be, take your booking another way.",
    team: "Espace équipe" / "Team sign-in",
    storefront: "Voir la boutique" / "See the storefront",
    simulated_label: "Mode simulation" / "Simulation mode",
    simulated: "Stripe simulé : aucun argent réel. Carte de test" / "Simulated Stripe: no real money. Test card",
    back_home: "Retour à l’accueil" / "Back to the home page",
    request_id: "Référence de la demande :" / "Request reference:",
    error_prefix: "Erreur :" / "Error:",
    errors_title: "Il reste quelque chose à corriger" / "Something needs your attention",

    book_title: "Réservez votre créneau" / "Book your slot",
    book_lead: "Choisissez un jour et une heure, puis payez en ligne. Votre place est gardée pendant le paiement." /
        "Choose a day and a time, then pay online. Your seat is held while you pay.",
    no_offer_title: "Rien à réserver pour le moment" / "Nothing to book right now",
    no_offer: "Revenez bientôt : de nouvelles prestations seront proposées ici." /
        "Come back soon: new offers will appear here.",
    step_offer: "La prestation" / "The offer",
    step_day: "Le jour" / "The day",
    step_time: "L’heure" / "The time",
    step_details: "Vos coordonnées" / "Your details",
    month_before: "Mois précédent," / "Month before,",
    month_after: "Mois suivant," / "Month after,",
    too_soon: "trop tôt" / "too soon",
    other_day: "Un autre jour" / "Another day",
    show_slots: "Voir les créneaux" / "Show the slots",
    all_required: "Tous les champs sont nécessaires." / "All fields are required.",
    first_name: "Prénom" / "First name",
    last_name: "Nom" / "Last name",
    email: "Adresse e-mail" / "E-mail address",
    email_hint: "Pour vous joindre au sujet de cette réservation." / "To reach you about this booking.",
    summary: "Votre réservation" / "Your booking",
    offer: "Prestation" / "Offer",
    slot: "Créneau" / "Slot",
    slot_not_chosen: "À choisir" / "Not chosen yet",
    total: "Total" / "Total",
    to_payment: "Continuer vers le paiement" / "Continue to payment",
    hold_promise: "La place vous est gardée 35 minutes. Rien n’est débité avant que vous ne payiez." /
        "The seat is held for you for 35 minutes. Nothing is charged until you pay.",
    slots_failed: "Les créneaux de ce jour n’ont pas pu être affichés. Appuyez sur « Voir les créneaux »." /
        "The slots of this day could not be shown. Press “Show the slots”.",
    taken: "complet" / "full",
    past: "passé" / "past",
    not_offered: "indisponible" / "not available",
    yours: "à vous" / "yours",
    held_title: "Une place vous attend" / "A seat is waiting for you",
    held_replaced: "Si vous choisissez un autre créneau, celui-ci sera libéré." /
        "If you choose another slot, this one is given up.",
    resume: "Reprendre le paiement" / "Resume payment",

    own_title: "Votre réservation" / "Your booking",
    own_link: "Votre page de réservation" / "Your booking’s page",
    own_keep: "Gardez cette adresse : elle mène à votre réservation, sans mot de passe." /
        "Keep this address: it leads to your booking, without a password.",
    own_takes: "Durée" / "Duration",
    own_calendar: "Ajouter à mon agenda" / "Add to my calendar",
    own_receipt: "Reçu" / "Receipt",
    own_print: "Pour garder ce reçu, imprimez cette page." / "To keep this receipt, print this page.",
    own_paid_on: "Payé le" / "Paid on",
    own_kept: "Total payé" / "Total paid",
    own_payment: "Paiement" / "Payment",
    own_name: "Nom" / "Name",
    code: "Code" / "Code",

    business: "Votre entreprise" / "Your business",
    business_lead: "Ce que vos clients voient sur la boutique, sur la page de leur réservation et dans leurs e-mails." /
        "What your customers see on the storefront, on their booking’s page and in their mails.",
    business_name: "Nom de l’entreprise" / "Name of the business",
    business_address: "Adresse postale" / "Postal address",
    business_phone: "Téléphone" / "Telephone",
    business_accent: "Couleur" / "Colour",
    business_accent_hint: "Comme #0b6b50. Elle est assombrie ou éclaircie selon le thème, pour que tout reste lisible." /
        "Such as #0b6b50. It is made darker or lighter for each theme, so that everything stays legible.",
    business_mail_lang: "Langue de vos e-mails" / "Language of your mails",
    business_logo: "Logo de l’entreprise" / "Logo of the business",
    business_logo_file: "Image" / "Image file",
    business_logo_hint: "PNG, JPEG ou WebP, 64 Kio et 2048 pixels de côté au plus." /
        "PNG, JPEG or WebP, at most 64 KiB and 2048 pixels a side.",
    business_logo_send: "Envoyer l’image" / "Upload the image",
    business_logo_remove: "Retirer le logo" / "Remove the logo",
    business_documents: "Conditions et mentions" / "Terms and notices",
    business_document: "Texte ou lien" / "Text or link",
    business_document_hint: "Un texte, où une ligne vide sépare les paragraphes, ou rien qu’un lien qui commence par https://." /
        "A text, in which an empty line separates paragraphs, or only a link that begins with https://.",
    business_set: "renseigné" / "filled in",
    business_unset: "à compléter" / "to be filled in",
    business_missing: "Votre boutique ne dit pas encore tout à vos clients. Il manque :" /
        "Your storefront does not tell your customers everything yet. What is missing:",
    terms: "Conditions de vente" / "Terms of sale",
    cancellation: "Annulation et remboursement" / "Cancellation and refunds",
    privacy: "Confidentialité" / "Privacy",
    legal: "Mentions légales" / "Legal notice",
    sold_by: "Vendu par" / "Sold by",
    reach_us: "Nous joindre :" / "How to reach us:",

    hours: "Horaires" / "Opening hours",
    hours_own: "Horaires propres à une prestation" / "Hours of one offer",
    hours_set: "N’accepter de réservations qu’aux heures ci-dessous" / "Take bookings at the hours below only",
    hours_set_own: "Ces heures remplacent celles de la maison" / "These hours replace those of the house",
    hours_hint: "Par exemple 9h-12h, 14h-18h. Vide : fermé ce jour-là." /
        "Such as 9:00-12:00, 14:00-18:00. Empty: closed on that day.",
    hours_closed: "Jours de fermeture" / "Closing days",
    hours_closed_hint: "Un jour ou une période par ligne, puis une note si vous voulez : 2026-12-24 2026-12-31 congés." /
        "A day or a range on each line, then a note if you like: 2026-12-24 2026-12-31 holidays.",
    hours_holidays: "Fermé les jours fériés" / "Closed on public holidays",
    hours_holidays_open: "Non, ouvert comme d’habitude" / "No, open as usual",
    hours_notice: "Délai minimal avant le début (minutes)" / "Notice before the beginning (minutes)",
    hours_horizon: "Réservable jusqu’à (jours d’avance)" / "Days ahead that can be booked",
    duration: "Durée (minutes)" / "Duration (minutes)",
    step: "Un début toutes les (minutes)" / "A beginning every (minutes)",
    step_hint: "Vide : l’un après l’autre. Ne sert qu’avec des horaires." /
        "Empty: one after the other. Only used with opening hours.",
    resource: "Personne ou salle nécessaire" / "Person or room that it needs",
    resource_hint: "Les prestations qui nomment la même ne sont jamais vendues en même temps." /
        "Offers that name the same are never sold for the same time.",

    nothing_done: "Votre session avait pris fin : rien n’a été fait. Connectez-vous, puis recommencez." /
        "Your session had ended: nothing was done. Sign in, then try again.",
    review_refund: "Le remboursement ne peut pas être annulé." / "The refund cannot be undone.",
    review_accept: "Ce paiement paiera la réservation tel qu’il est." / "This payment will pay the booking as it is.",

    going_title: "Encore un pas : le paiement" / "One more step: payment",
    going_lead: "Votre place est réservée. Vous allez être conduit à la page de paiement." /
        "Your seat is held. You are being taken to the payment page.",
    going_link: "Continuer vers le paiement" / "Continue to payment",

    paid_title: "C’est réservé !" / "You’re booked!",
    paid_lead: "Votre paiement est confirmé. À bientôt." / "Your payment is confirmed. See you soon.",
    pending_title: "Nous vérifions votre paiement" / "We are checking your payment",
    pending_lead: "Cela ne prend d’habitude que quelques secondes. Votre place reste réservée." /
        "This usually takes a few seconds. Your seat stays held.",
    processing_title: "Votre paiement est en route" / "Your payment is on its way",
    processing_lead: "Votre banque doit encore le confirmer, cela peut prendre quelques jours. Votre place reste réservée." /
        "Your bank still has to confirm it, which can take a few days. Your seat stays held.",
    expired_title: "Le temps de paiement est écoulé" / "The time to pay has run out",
    expired_lead: "Rien n’a été débité et la place a été libérée. Vous pouvez réserver à nouveau." /
        "Nothing was charged and the seat is free again. You can book again.",
    failed_title: "Le paiement n’a pas abouti" / "The payment did not go through",
    failed_lead: "Votre banque l’a refusé et la place a été libérée. Vous pouvez réserver à nouveau." /
        "Your bank refused it and the seat is free again. You can book again.",
    cancelled_title: "Cette réservation est annulée" / "This booking is cancelled",
    called_off_lead: "La place n’est plus à vous. Ce qui vous est rendu figure ici dès que Stripe l’a confirmé." /
        "The seat is not yours any more. What goes back to you is shown here once Stripe has confirmed it.",
    cancelled_lead: "Rien n’a été débité. Vous pouvez réserver à nouveau." /
        "Nothing was charged. You can book again.",
    part_refunded_title: "Une partie vous a été remboursée" / "You were refunded in part",
    part_refunded_lead: "Votre réservation reste valable." / "Your booking is still valid.",
    refunded_title: "Cette réservation a été remboursée" / "This booking was refunded",
    refunded_lead: "Le montant revient sur votre moyen de paiement sous quelques jours." /
        "The amount goes back to your payment method within a few days.",
    disputed_title: "Ce paiement est contesté" / "This payment is disputed",
    disputed_lead: "Nous attendons la décision de la banque." / "We are waiting for the bank’s decision.",
    looked_at_title: "Nous examinons votre paiement" / "We are looking into your payment",
    looked_at_lead: "Nous avons reçu un paiement que nous devons vérifier. Ne payez pas une deuxième fois : nous revenons vers vous." /
        "We received a payment that we have to check. Do not pay a second time: we will get back to you.",
    given_back_lead: "Votre paiement vous est rendu ; il revient sur votre moyen de paiement sous quelques jours." /
        "Your payment is given back; it reaches your payment method within a few days.",
    settled_title: "Votre paiement a été examiné" / "Your payment was looked into",
    settled_lead: "Pour toute question, écrivez-nous." / "If you have a question, write to us.",
    amount_paid: "Payé" / "Paid",
    amount_due: "À payer" / "To pay",
    reference: "Référence" / "Reference",
    updates_itself: "Cette page se met à jour toute seule." / "This page updates by itself.",
    look_again: "Actualiser" / "Refresh",
    book_again: "Réserver à nouveau" / "Book again",

    cancel_title: "Rien n’a été payé" / "Nothing was paid",
    cancel_none: "Vous n’avez pas de réservation en cours dans ce navigateur." /
        "There is no booking under way in this browser.",
    change_booking: "Modifier ma réservation" / "Change my booking",
    back_to_form: "Retour à la réservation" / "Back to booking",
    see_booking: "Voir ma réservation" / "See my booking",

    login_title: "Espace équipe" / "Team sign-in",
    password: "Mot de passe" / "Password",
    sign_in: "Se connecter" / "Sign in",
    sign_out: "Se déconnecter" / "Sign out",
    bad_credentials: "Identifiants invalides" / "Invalid credentials",
    signed_out: "Vous êtes déconnecté." / "You are signed out.",
    please_sign_in: "Connectez-vous pour continuer." / "Sign in to continue.",

    dashboard: "Tableau de bord" / "Dashboard",
    bookings: "Réservations" / "Bookings",
    ledger: "Événements" / "Events",
    cases: "À traiter" / "Cases",
    offers: "Prestations" / "Offers",
    users: "Comptes" / "Accounts",
    audit: "Journal" / "Audit log",
    metrics: "Mesures" / "Metrics",
    filter: "Filtrer" / "Filter",
    filter_title: "Filtres" / "Filters",
    clear: "Tout afficher" / "Show all",
    status: "Statut" / "Status",
    any: "Tous" / "Any",
    date: "Date" / "Date",
    customer: "Client" / "Customer",
    amount: "Montant" / "Amount",
    who: "Nom ou adresse e-mail" / "Name or e-mail",
    coming: "Qui vient" / "Who is coming",
    coming_none: "Personne n’est attendu ce jour-là." / "Nobody is expected on that day.",
    coming_cut: "Seules les 500 premières réservations sont affichées." / "Only the first 500 bookings are shown.",
    day_before: "Jour précédent" / "Day before",
    day_after: "Jour suivant" / "Day after",
    show_day: "Voir ce jour" / "Show this day",
    time: "Heure" / "Time",
    booked_on: "Réservé le" / "Booked on",
    held_until: "Place gardée jusqu’à" / "Seat held until",
    older: "Page suivante" / "Next page",
    newest: "Revenir au début" / "Back to the first page",
    nothing_here: "Rien à afficher." / "Nothing to show.",
    no_match: "Aucun résultat ne correspond à ces filtres." / "Nothing matches these filters.",
    timeline: "Historique" / "Timeline",
    facts: "Détails" / "Details",
    paid_on: "Payé le" / "Paid on",
    refunded: "Remboursé" / "Refunded",
    refunds: "Remboursements" / "Refunds",
    disputes: "Litiges" / "Disputes",
    session: "Session Stripe" / "Stripe session",
    payment_intent: "Paiement Stripe" / "Stripe payment",
    seat: "Place" / "Seat",
    booking: "Réservation" / "Booking",
    all_bookings: "Toutes les réservations" / "All bookings",
    refund_title: "Rembourser" / "Refund",
    refund_amount: "Montant à rembourser" / "Amount to refund",
    refund_continue: "Vérifier le remboursement" / "Review the refund",
    refund_confirm: "Confirmer le remboursement" / "Confirm the refund",
    refund_irreversible: "Un remboursement ne peut pas être repris." / "A refund cannot be taken back.",
    refund_frees_seat: "Tout sera remboursé : la place sera libérée et pourra être réservée par quelqu’un d’autre." /
        "All of it goes back: the seat is freed, and somebody else can book it.",
    refund_keeps_seat: "La réservation reste valable et garde sa place." / "The booking stays valid and keeps its seat.",
    refund_done: "Le remboursement a été demandé à Stripe." / "The refund was requested from Stripe.",
    refund_uncertain: "Stripe n’a pas répondu clairement. La demande est enregistrée et sera vérifiée automatiquement ; ne la refaites pas." /
        "Stripe gave no clear answer. The request is stored and is checked automatically; do not repeat it.",
    go_back: "Revenir" / "Go back",
    cancel_booking: "Annuler la réservation" / "Cancel the booking",
    cancel_booking_hint: "La session de paiement est fermée chez Stripe, puis la place est libérée." /
        "The payment session is closed at Stripe, then the seat is freed.",
    cancel_question: "Annuler cette réservation ?" / "Cancel this booking?",
    cancel_confirm: "Confirmer l’annulation" / "Confirm the cancellation",
    export_title: "Un mois pour un tableur (CSV)" / "A month for a spreadsheet (CSV)",
    export_money: "Mouvements d’argent" / "Money in and out",
    call_off_hint: "La place est libérée et le client en est averti par e-mail." /
        "The seat is freed, and the customer is told by e-mail.",
    call_off_amount: "Montant rendu au client" / "Amount given back to the customer",
    call_off_reason: "Motif (pour vous, pas pour le client)" / "Reason (for you, not for the customer)",
    call_off_continue: "Vérifier l’annulation" / "Review the cancellation",
    call_off_nothing: "Rien n’est rendu." / "Nothing goes back.",
    call_off_already: "Cette réservation est déjà annulée. Remboursez ce qui doit l’être encore." /
        "This booking is cancelled already. Refund what is still to go back.",
    call_off_disputed: "Le paiement est en litige : la banque décide. Annulez sans rien rendre." /
        "The payment is disputed: the bank decides. Cancel with nothing given back.",
    call_off_not_refunded: "La réservation est annulée, mais Stripe a refusé le remboursement. La raison est dans l’historique." /
        "The booking is cancelled, but Stripe refused the refund. The timeline says why.",
    cancelled_on: "Annulé le" / "Cancelled on",
    cancel_reason: "Motif de l’annulation" / "Reason for the cancellation",
    holds: "Places non payées" / "Unpaid seats",
    holds_hint: "Quelqu’un bloque l’agenda sans payer ? Libérez ici tout ce qu’il retient, d’un seul coup." /
        "Is somebody blocking the calendar without paying? Free here all that they hold, at once.",
    holds_who: "Qui les retient" / "Who holds them",
    holds_pattern: "Une adresse IP, une adresse e-mail, ou *@ et un domaine pour toutes ses adresses." /
        "An IP address, an e-mail address, or *@ and a domain for all of its addresses.",
    holds_look: "Compter ces places" / "Count these seats",
    holds_none: "Aucune place non payée ne correspond." / "No unpaid seat fits.",
    holds_consequence: "Chaque session de paiement est fermée chez Stripe, puis la place est libérée. Ce qui a été payé entre-temps reste réservé." /
        "Each payment session is closed at Stripe, then the seat is freed. What was paid meanwhile stays booked.",
    holds_confirm: "Libérer ces places" / "Free these seats",
    cancel_done: "La réservation est annulée." / "The booking is cancelled.",
    events_of_booking: "Événements de cette réservation" / "Events of this booking",
    event: "Événement" / "Event",
    kind: "Type" / "Kind",
    outcome: "Résultat" / "Outcome",
    source: "Source" / "Source",
    deliveries: "Livraisons" / "Deliveries",
    received_on: "Reçu le" / "Received on",
    last_delivered_on: "Dernière livraison" / "Last delivered",
    processed_on: "Traité le" / "Processed on",
    next_try_on: "Prochain essai" / "Next try",
    made_on: "Créé chez Stripe le" / "Made at Stripe on",
    event_id: "Identifiant de l’événement" / "Event id",
    payload: "Contenu reçu" / "Payload as received",
    payload_gone: "Le contenu a été effacé ou n’a pas été conservé ; les faits restent." /
        "The payload was erased or never kept; the facts remain.",
    replay: "Rejouer" / "Replay",
    replay_title: "Rejouer cet événement" / "Replay this event",
    replay_preview: "Ce qui changerait" / "What would change",
    replay_none: "Rien ne changerait." / "Nothing would change.",
    replay_hint: "Rejouer un événement déjà appliqué ne change rien." / "Replaying an event that was applied changes nothing.",
    replay_done: "L’événement a été rejoué." / "The event was replayed.",
    before: "Avant" / "Before",
    after: "Après" / "After",
    member: "Champ" / "Field",
    case_one: "Cas" / "Case",
    open_cases: "Cas ouverts" / "Open cases",
    replay_gone: "Le contenu de cet événement n’existe plus, ni ici ni chez Stripe." /
        "What this event said exists no more, neither here nor at Stripe.",
    not_an_amount: "Donnez un montant comme 12,50, au-dessus de zéro." / "Give an amount such as 12.50, above zero.",
    refund_too_much: "Il ne reste pas autant à rembourser." / "There is not that much left to refund.",
    refund_refused: "Stripe a refusé ce remboursement. La raison est dans l’historique." /
        "Stripe refused this refund. The timeline says why.",
    cancel_later: "Sa page de paiement est en train de s’ouvrir. Réessayez dans une minute." /
        "Its payment page is just being made. Try again in a minute.",
    booking_needed: "Donnez la référence de la réservation." / "Give the booking’s reference.",
    case_impossible: "Ce n’est pas possible dans l’état actuel. Regardez la réservation." /
        "This is not possible as things are. Look at the booking.",
    case_refund_open: "Un remboursement est en cours. Le reste attend que l’on sache ce que Stripe a fait." /
        "A refund is under way. Everything else waits until it is known what Stripe did.",
    case_refund_done: "Stripe a fait le remboursement." / "Stripe made the refund.",
    case_refund_refused: "Stripe a refusé le remboursement." / "Stripe refused the refund.",
    for_admin: "Réservé au rôle ADMIN." / "For the role ADMIN.",
    action_accept: "Accepter" / "Accept",
    action_reseat: "Reprendre une place" / "Take a seat again",
    action_attach: "Rattacher" / "Attach",
    action_dismiss: "Classer" / "Dismiss",
    case_open: "ouvert" / "open",
    case_closed: "clos" / "closed",
    secret: "Secret" / "Secret no.",
    show_open: "Ouverts" / "Open",
    show_closed: "Clos" / "Closed",
    deadline: "Échéance" / "Deadline",
    opened_on: "Ouvert le" / "Opened on",
    closed_on: "Clos le" / "Closed on",
    closed_by: "Par" / "By",
    resolution: "Décision" / "Resolution",
    note: "Note" / "Note",
    note_hint: "Dites pourquoi : cette note reste dans le journal." / "Say why: this note stays in the audit log.",
    what_to_do: "Que faire" / "What to do",
    no_cases: "Tout est en ordre : aucun cas n’attend." / "All is well: no case is waiting.",
    case_done: "Le cas est clos." / "The case is closed.",
    name: "Nom" / "Name",
    price: "Prix" / "Price",
    currency: "Devise" / "Currency",
    capacity: "Places par créneau" / "Seats per slot",
    grid: "Heures proposées" / "Times offered",
    grid_hint: "HH:MM séparées par des espaces. Vide : le formulaire propose chaque heure de 09:00 à 18:00, et l’API accepte n’importe laquelle." /
        "HH:MM separated by spaces. Empty: the form offers every hour from 09:00 to 18:00, and the API takes any time.",
    any_hour: "Toutes les heures de 09:00 à 18:00" / "Every hour from 09:00 to 18:00",
    active: "Proposée à la réservation" / "Can be booked",
    inactive: "Retirée" / "Withdrawn",
    active_short: "Active" / "Bookable",
    new_offer: "Nouvelle prestation" / "New offer",
    edit_offer: "Modifier la prestation" / "Edit the offer",
    save: "Enregistrer" / "Save",
    saved: "C’est enregistré." / "Saved.",
    saved_overfull: "C’est enregistré. Des créneaux ont déjà plus de places prises que cette capacité : elles restent prises, et rien n’y est vendu avant qu’il y ait à nouveau de la place." /
        "Saved. Some slots already have more seats taken than this capacity: those seats stay taken, and nothing is sold there until there is room again.",
    offer_keeps: "Les réservations existantes gardent leur prix." / "Existing bookings keep their price.",
    new_user: "Nouveau compte" / "New account",
    role: "Rôle" / "Role",
    last_login: "Créé le" / "Created on",
    enabled: "Actif" / "Active",
    disabled: "Désactivé" / "Disabled",
    disable: "Désactiver" / "Disable",
    enable: "Réactiver" / "Enable",
    set_role: "Changer le rôle" / "Change role",
    set_password: "Changer le mot de passe" / "Set password",
    new_password: "Nouveau mot de passe" / "New password",
    password_hint: "Au moins 8 caractères, au mieux 15 ; au plus 72 octets." / "At least 8 characters, better 15; at most 72 bytes.",
    create: "Créer" / "Create",
    you: "vous" / "you",
    actor: "Qui" / "Who",
    action: "Quoi" / "What",
    subject: "Sur quoi" / "On what",
    detail: "Précisions" / "Details",
    when: "Quand" / "When",
    received: "Webhooks reçus" / "Webhooks received",
    duplicates: "Doublons" / "Duplicates",
    errors: "Erreurs" / "Errors",
    uptime: "En marche depuis" / "Up for",
    http5xx: "Erreurs HTTP 5xx" / "HTTP 5xx errors",
    version: "Version" / "Version",
    database: "Base de données" / "Database",
    since_start: "Depuis le démarrage de ce processus." / "Since this process started.",
    webhooks_title: "Webhooks" / "Webhooks",
    runtime_title: "Service" / "Service",
    waiting_title: "En attente" / "Waiting",
    secret_used: "Secrets de signature" / "Signing secrets",
    never_used: "jamais utilisé" / "never used",

    not_found_title: "Page introuvable" / "Page not found",
    not_found_lead: "Cette adresse ne mène à rien. Vérifiez le lien, ou repartez de l’accueil." /
        "This address leads nowhere. Check the link, or start again.",
    unknown_session_title: "Réservation introuvable" / "Booking not found",
    unknown_session_lead: "Nous ne connaissons pas cette réservation. Si vous venez de payer, attendez un instant et rechargez la page : rien n’est perdu." /
        "We do not know this booking. If you have just paid, wait a moment and reload the page: nothing is lost.",
    forbidden_title: "Accès refusé" / "Access denied",
    forbidden_lead: "Votre rôle ne permet pas cette action." / "Your role does not allow this.",
    bad_request_title: "Demande incorrecte" / "Invalid request",
    bad_request_lead: "Cette demande ne peut pas être comprise telle quelle." / "This request cannot be understood as it is.",
    conflict_title: "C’est déjà fait, ou plus possible" / "Already done, or no longer possible",
    conflict_lead: "La situation a changé entre-temps. Revenez et regardez où elle en est." /
        "Things have changed meanwhile. Go back and see where they stand.",
    too_many_title: "Trop de demandes" / "Too many requests",
    too_many_lead: "Patientez un instant, puis réessayez." / "Wait a moment, then try again.",
    internal_title: "Une erreur de notre côté" / "Something went wrong on our side",
    internal_lead: "Elle a été notée. Rien de ce que vous avez payé n’est perdu." /
        "It was logged. Nothing that you paid is lost.",
    unavailable_title: "Service momentanément indisponible" / "Service temporarily unavailable",
    unavailable_lead: "Réessayez dans quelques instants. Rien de ce que vous avez payé n’est perdu." /
        "Try again in a few moments. Nothing that you paid is lost.",

    too_many_holds: "Trop de réservations attendent déjà leur paiement depuis ce navigateur, ce réseau ou pour cette adresse. \
         Payez-en une, ou réessayez dans une demi-heure." /
        "Too many bookings of this browser, this network or this address already wait for their payment. Pay one of \
         them, or try again in half an hour.",
    slot_full: "Ce créneau vient d’être pris. Choisissez-en un autre parmi ceux qui sont libres." /
        "This slot has just been taken. Choose another of the free ones.",
    already_paid: "Cette réservation est déjà payée, ou son paiement est en route." /
        "This booking is already paid, or its payment is on its way.",
    booking_ended: "Cette réservation a été annulée, ou sa place donnée, pendant l’ouverture du paiement. Rien n’a été payé : réservez à nouveau." /
        "This booking was cancelled, or its seat given away, while the payment page was being opened. Nothing was paid: book again.",
    stripe_down: "La page de paiement ne répond pas pour le moment. Votre place reste gardée : réessayez dans un instant." /
        "The payment page does not answer right now. Your seat stays held: try again in a moment.",
    stripe_refused: "Le paiement n’a pas pu être ouvert. Votre place reste gardée ; prévenez-nous si cela continue." /
        "The payment could not be opened. Your seat stays held; tell us if this goes on.",
}

/// A status in the reader's words.
#[must_use]
pub fn status(lang: Lang, status: Status) -> &'static str {
    let en = match status {
        Status::Pending => "pending",
        Status::Processing => "processing",
        Status::Paid => "paid",
        Status::Expired => "expired",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        Status::PartiallyRefunded => "partially refunded",
        Status::Refunded => "refunded",
        Status::Disputed => "disputed",
    };
    lang.pick(status.as_str(), en)
}

/// A booking's status in the reader's words, and whether it was called off although it is paid.
#[must_use]
pub fn status_of(lang: Lang, booking: &Booking) -> &'static str {
    let plain = status(lang, booking.status());
    if !booking.is_called_off() {
        return plain;
    }
    match booking.status() {
        Status::Paid => lang.pick("annulé, payé", "cancelled, paid"),
        Status::PartiallyRefunded => {
            lang.pick("annulé, partiellement remboursé", "cancelled, partially refunded")
        }
        Status::Disputed => lang.pick("annulé, litige", "cancelled, disputed"),
        Status::Pending
        | Status::Processing
        | Status::Expired
        | Status::Failed
        | Status::Cancelled
        | Status::Refunded => plain,
    }
}

/// The colour class of a status; its text says the same.
#[must_use]
pub fn status_tone(status: Status) -> &'static str {
    match status {
        Status::Pending | Status::Processing => "wait",
        Status::Paid => "good",
        Status::Expired | Status::Cancelled => "quiet",
        Status::Failed | Status::Disputed => "bad",
        Status::PartiallyRefunded | Status::Refunded => "info",
    }
}

/// What became of an event, in the reader's words.
#[must_use]
pub fn outcome(lang: Lang, outcome: Outcome) -> &'static str {
    let (fr, en) = match outcome {
        Outcome::Processed => ("appliqué", "processed"),
        Outcome::Duplicate => ("doublon", "duplicate"),
        Outcome::Ignored => ("ignoré", "ignored"),
        Outcome::Parked => ("en attente", "parked"),
        Outcome::Case => ("à traiter", "case"),
        Outcome::Rejected => ("non appliqué", "not applied"),
    };
    lang.pick(fr, en)
}

/// The colour class of an outcome.
#[must_use]
pub fn outcome_tone(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Processed => "good",
        Outcome::Duplicate | Outcome::Ignored => "quiet",
        Outcome::Parked => "wait",
        Outcome::Case | Outcome::Rejected => "bad",
    }
}

/// A refund's state.
#[must_use]
pub fn refund_status(lang: Lang, status: RefundStatus) -> &'static str {
    let (fr, en) = match status {
        RefundStatus::Pending => ("en route", "pending"),
        RefundStatus::RequiresAction => ("attend le client", "waits for the customer"),
        RefundStatus::Succeeded => ("effectué", "succeeded"),
        RefundStatus::Canceled => ("annulé", "cancelled"),
        RefundStatus::Failed => ("échoué", "failed"),
    };
    lang.pick(fr, en)
}

/// A dispute's state.
#[must_use]
pub fn dispute_status(lang: Lang, status: DisputeStatus) -> &'static str {
    let (fr, en) = match status {
        DisputeStatus::WarningNeedsResponse => ("enquête, réponse attendue", "inquiry, needs a response"),
        DisputeStatus::WarningUnderReview => ("enquête en cours", "inquiry under review"),
        DisputeStatus::WarningClosed => ("enquête close", "inquiry closed"),
        DisputeStatus::Prevented => ("évité", "prevented"),
        DisputeStatus::NeedsResponse => ("réponse attendue", "needs a response"),
        DisputeStatus::UnderReview => ("en cours d’examen", "under review"),
        DisputeStatus::Lost | DisputeStatus::LostAppeal => ("perdu", "lost"),
        DisputeStatus::AppealNeedsResponse => ("appel, réponse attendue", "appeal, needs a response"),
        DisputeStatus::AppealUnderReview => ("appel en cours d’examen", "appeal under review"),
        DisputeStatus::Won => ("gagné", "won"),
    };
    lang.pick(fr, en)
}

/// A role, with what it may do.
#[must_use]
pub fn role(lang: Lang, role: Role) -> &'static str {
    let (fr, en) = match role {
        Role::ReadOnly => {
            ("READONLY : lire les réservations et les événements", "READONLY: read bookings and events")
        }
        Role::Ops => {
            ("OPS : aussi les cas, les rejeux et les mesures", "OPS: also cases, replays and metrics")
        }
        Role::Admin => (
            "ADMIN : aussi l’argent, les prestations et les comptes",
            "ADMIN: also money, offers and accounts",
        ),
    };
    lang.pick(fr, en)
}

/// What is wrong with a field of the booking form, as a sentence.
#[must_use]
pub fn fault(lang: Lang, fault: &Fault) -> String {
    let (fr, en) = match (fault.code, fault.path.as_str()) {
        ("required", "firstName") => ("Indiquez votre prénom.", "Enter your first name."),
        ("required", "lastName") => ("Indiquez votre nom.", "Enter your last name."),
        ("required", "email") => ("Indiquez votre adresse e-mail.", "Enter your e-mail address."),
        ("required", "date") => ("Choisissez un jour.", "Choose a day."),
        ("required", "time") => ("Choisissez une heure.", "Choose a time."),
        ("too_long", "firstName") => (
            "Le prénom est trop long : 100 caractères au plus.",
            "The first name is too long: at most 100 characters.",
        ),
        ("too_long", "lastName") => (
            "Le nom est trop long : 100 caractères au plus.",
            "The last name is too long: at most 100 characters.",
        ),
        ("control", _) => (
            "Un nom ne peut pas contenir de caractères invisibles.",
            "A name cannot contain invisible characters.",
        ),
        ("email", _) => (
            "Vérifiez l’adresse e-mail : elle doit ressembler à nom@exemple.fr.",
            "Check the e-mail address: it should look like name@example.org.",
        ),
        ("date", _) => ("Choisissez une date du calendrier.", "Choose a date of the calendar."),
        ("time", _) => ("Choisissez une des heures proposées.", "Choose one of the times offered."),
        ("skipped", _) => (
            "Cette heure n’existe pas ce jour-là : on passe à l’heure d’été.",
            "That time does not exist on that day: the clocks go forward.",
        ),
        ("past", _) => (
            "Ce créneau est déjà passé. Choisissez-en un à venir.",
            "That slot is in the past. Choose one to come.",
        ),
        ("unknown_offer", _) => (
            "Cette prestation n’est plus proposée. Choisissez-en une autre.",
            "This offer is no longer available. Choose another one.",
        ),
        ("other_times", _) => (
            "Le jour ou la prestation a changé : choisissez une heure parmi celles affichées maintenant.",
            "The day or the offer has changed: choose one of the times that are shown now.",
        ),
        ("closed_day", _) => (
            "C’est fermé ce jour-là. Choisissez-en un autre.",
            "It is closed on that day. Choose another one.",
        ),
        ("holiday", _) => (
            "Ce jour est férié. Choisissez-en un autre.",
            "That day is a public holiday. Choose another one.",
        ),
        ("outside_hours", _) => (
            "C’est fermé à cette heure-là. Choisissez-en une autre.",
            "It is closed at that time. Choose another one.",
        ),
        ("too_soon", _) => (
            "Ce créneau est trop proche pour être réservé ici. Choisissez-en un plus tard.",
            "That slot is too soon to be booked here. Choose a later one.",
        ),
        ("too_far", _) => (
            "Ce jour n’est pas encore ouvert à la réservation. Choisissez-en un plus proche.",
            "That day cannot be booked yet. Choose one that is nearer.",
        ),
        ("overlap", _) => {
            ("Deux plages du même jour se chevauchent.", "Two openings of the same day overlap.")
        }
        ("openings", _) => {
            ("Donnez des plages comme 9h-12h, 14h-18h.", "Give openings such as 9:00-12:00, 14:00-18:00.")
        }
        ("closed", _) => (
            "Donnez un jour ou une période par ligne, 200 au plus : 2026-12-24 2026-12-31 congés.",
            "Give a day or a range on each line, at most 200: 2026-12-24 2026-12-31 holidays.",
        ),
        ("closed_order", _) => {
            ("Une période finit avant d’avoir commencé.", "A range ends before it begins.")
        }
        ("closed_note", _) => ("Une note a 120 caractères au plus.", "A note has at most 120 characters."),
        ("notice", _) => ("Donnez un nombre de minutes, ou rien.", "Give a number of minutes, or nothing."),
        ("horizon", _) => ("Donnez un nombre de jours, ou rien.", "Give a number of days, or nothing."),
        ("minutes", _) => {
            ("Donnez un nombre de minutes, de 5 à 1440.", "Give a number of minutes, from 5 to 1440.")
        }
        ("resource", _) => (
            "Donnez un nom de 60 caractères au plus, ou rien.",
            "Give a name of at most 60 characters, or nothing.",
        ),
        ("not_on_grid", _) => (
            "Cette heure n’est pas proposée. Choisissez-en une autre.",
            "That time is not offered. Choose another one.",
        ),
        ("invalid", "bookingId") => (
            "Donnez la référence complète de la réservation, ou rien.",
            "Give the booking’s whole reference, or nothing.",
        ),
        ("invalid", "date") => {
            ("Donnez une date du calendrier, ou rien.", "Give a date of the calendar, or nothing.")
        }
        ("invalid", "status" | "outcome" | "offer") => {
            ("Choisissez une valeur de la liste.", "Choose a value of the list.")
        }
        ("invalid", "who" | "type") => ("Ce texte est trop long.", "This text is too long."),
        ("password_short", _) => (
            "Le mot de passe est trop court : 8 caractères au moins, 15 c’est mieux.",
            "The password is too short: at least 8 characters, 15 are better.",
        ),
        ("password_long", _) => (
            "Le mot de passe est trop long : 72 octets au plus.",
            "The password is too long: at most 72 bytes.",
        ),
        ("password_nul", _) => (
            "Le mot de passe ne peut pas contenir de caractère nul.",
            "The password must not contain a NUL character.",
        ),
        ("password_common", _) => (
            "Ce mot de passe est parmi les premiers qu’on devine ; choisissez-en un autre.",
            "This password is among the first that anybody would guess; choose another.",
        ),
        ("offer_name", _) => ("Donnez un nom de 1 à 120 caractères.", "Give a name of 1 to 120 characters."),
        ("currency", _) => (
            "Donnez une devise que Stripe accepte, comme EUR.",
            "Give a currency that Stripe takes, such as EUR.",
        ),
        ("price", _) => (
            "Donnez un prix que Stripe accepte dans cette devise, comme 60,00.",
            "Give a price that Stripe takes in this currency, such as 60.00.",
        ),
        ("capacity", _) => {
            ("Donnez un nombre de places de 1 à 1000.", "Give a number of seats from 1 to 1000.")
        }
        ("grid", _) => (
            "Donnez des heures comme 09:00, séparées par des espaces.",
            "Give times such as 09:00, separated by spaces.",
        ),
        ("business_name", _) => (
            "Donnez le nom de l’entreprise, 80 caractères au plus.",
            "Give the name of the business, at most 80 characters.",
        ),
        ("business_address", _) => (
            "Donnez une adresse de 300 caractères et 8 lignes au plus, ou rien.",
            "Give an address of at most 300 characters and 8 lines, or nothing.",
        ),
        ("phone", _) => (
            "Donnez un numéro de téléphone comme +33 1 23 45 67 89, ou rien.",
            "Give a telephone number such as +33 1 23 45 67 89, or nothing.",
        ),
        ("accent", _) => {
            ("Donnez une couleur comme #0b6b50, ou rien.", "Give a colour such as #0b6b50, or nothing.")
        }
        ("mail_lang", _) => ("Choisissez une langue de la liste.", "Choose a language of the list."),
        ("control_here", _) => (
            "Retirez les caractères invisibles ou de commande de ce texte.",
            "Remove the invisible or control characters from this text.",
        ),
        ("document_link", _) => (
            "Donnez un texte, ou un lien complet qui commence par https://.",
            "Give a text, or a whole link that begins with https://.",
        ),
        ("document_long", _) => (
            "Ce texte est trop long pour une page. Raccourcissez-le, ou donnez un lien.",
            "This text is too long for a page. Make it shorter, or give a link.",
        ),
        ("logo_none", _) => ("Choisissez d’abord une image.", "Choose an image first."),
        ("logo_large", _) => {
            ("L’image est trop lourde : 64 Kio au plus.", "The image is too large: at most 64 KiB.")
        }
        ("logo_kind", _) => ("Donnez une image PNG, JPEG ou WebP.", "Give a PNG, JPEG or WebP image."),
        ("logo_broken", _) => (
            "Cette image est abîmée ou animée. Enregistrez-la de nouveau, fixe.",
            "This image is damaged or moves. Save it again as one that stands still.",
        ),
        ("logo_side", _) => (
            "L’image est trop grande : 2048 pixels de côté au plus.",
            "The image is too big: at most 2048 pixels a side.",
        ),
        _ => return format!("{} {}", fault.path, fault.message),
    };
    lang.pick(fr, en).to_owned()
}

/// What a text of the shop's own is called.
#[must_use]
pub fn document(t: &Texts, document: Document) -> &'static str {
    match document {
        Document::Terms => t.terms,
        Document::Cancellation => t.cancellation,
        Document::Privacy => t.privacy,
        Document::Legal => t.legal,
    }
}

/// What a member of a business is called in its form.
#[must_use]
pub fn business_member(t: &Texts, name: &str) -> &'static str {
    match (name, Document::parse(name)) {
        (_, Some(found)) => document(t, found),
        ("name", _) => t.business_name,
        ("address", _) => t.business_address,
        ("email", _) => t.email,
        _ => t.business,
    }
}

/// How many slots of a day are free.
#[must_use]
pub fn free_slots(lang: Lang, free: usize, day: &str) -> String {
    match (lang, free) {
        (Lang::Fr, 0) => format!("Plus aucun créneau libre le {day}. Essayez un autre jour."),
        (Lang::Fr, 1) => format!("1 créneau libre le {day}."),
        (Lang::Fr, _) => format!("{free} créneaux libres le {day}."),
        (Lang::En, 0) => format!("No free slot left on {day}. Try another day."),
        (Lang::En, 1) => format!("1 free slot on {day}."),
        (Lang::En, _) => format!("{free} free slots on {day}."),
    }
}

/// A day of the month, for who cannot see that it can be pressed.
#[must_use]
pub fn day_label(lang: Lang, day: &str, free: usize) -> String {
    match (lang, free) {
        (Lang::Fr, 0) => format!("{day}, rien de libre"),
        (Lang::Fr, 1) => format!("{day}, 1 créneau libre"),
        (Lang::Fr, _) => format!("{day}, {free} créneaux libres"),
        (Lang::En, 0) => format!("{day}, nothing free"),
        (Lang::En, 1) => format!("{day}, 1 free slot"),
        (Lang::En, _) => format!("{day}, {free} free slots"),
    }
}

/// Bookings on days that were just closed: told, not cancelled.
#[must_use]
pub fn held_on_closing_days(lang: Lang, held: i64, more: bool) -> String {
    let many = if more { lang.pick("plus de ", "more than ") } else { "" };
    match (lang, held) {
        (Lang::Fr, 1) => "1 réservation tombe un jour de fermeture. Elle n’est pas annulée\u{202f}: décidez-en sur sa page.".to_owned(),
        (Lang::Fr, _) => format!(
            "Des réservations ({many}{held}) tombent un jour de fermeture. Elles ne sont pas annulées\u{202f}: décidez de chacune sur sa page."
        ),
        (Lang::En, 1) => "1 booking is on a closing day. It is not cancelled: decide about it on its page.".to_owned(),
        (Lang::En, _) => format!(
            "There are bookings ({many}{held}) on closing days. They are not cancelled: decide about each on its page."
        ),
    }
}

/// Seats left in a slot.
#[must_use]
pub fn seats_left(lang: Lang, seats: i64) -> String {
    match (lang, seats) {
        (Lang::Fr, 1) => "1 place".to_owned(),
        (Lang::Fr, _) => format!("{seats} places"),
        (Lang::En, 1) => "1 seat".to_owned(),
        (Lang::En, _) => format!("{seats} seats"),
    }
}

/// Seats that are held for somebody who has not paid yet.
#[must_use]
pub fn seats_waiting(lang: Lang, seats: usize) -> String {
    match (lang, seats) {
        (Lang::Fr, 1) => "1 place de plus est gardée pendant un paiement.".to_owned(),
        (Lang::Fr, _) => format!("{seats} places de plus sont gardées pendant un paiement."),
        (Lang::En, 1) => "1 more seat is held during a payment.".to_owned(),
        (Lang::En, _) => format!("{seats} more seats are held during a payment."),
    }
}

/// A held slot, in a sentence.
#[must_use]
pub fn held(lang: Lang, slot: &str, until: &str) -> String {
    match lang {
        Lang::Fr => format!("Votre place du {slot} est gardée jusqu’à {until}. Rien n’a encore été payé."),
        Lang::En => format!("Your seat on {slot} is held until {until}. Nothing has been paid yet."),
    }
}

/// A slot that was to be replaced by another and was paid meanwhile, in a sentence.
#[must_use]
pub fn not_replaced(lang: Lang, slot: &str) -> String {
    match lang {
        Lang::Fr => format!(
            "Votre place du {slot} est déjà payée, ou son paiement est en route : elle n’a pas été remplacée."
        ),
        Lang::En => {
            format!("Your seat on {slot} is already paid, or its payment is on its way: it was not replaced.")
        }
    }
}

/// A filter that a list does not have, or a link to its continuation that cannot be read.
#[must_use]
pub fn unknown_filter(lang: Lang, name: &str) -> String {
    match lang {
        Lang::Fr => format!("L’adresse contient un filtre inutilisable : {name}."),
        Lang::En => format!("The address holds a filter that cannot be used: {name}."),
    }
}

/// Texts that were to be times of day.
#[must_use]
pub fn not_times(lang: Lang, texts: &[&str]) -> String {
    let (open, close) = (lang.pick("« ", "“"), lang.pick(" »", "”"));
    let quoted: Vec<String> = texts.iter().map(|text| format!("{open}{text}{close}")).collect();
    let quoted = quoted.join(", ");
    match lang {
        Lang::Fr => format!("À écrire comme 09:00 : {quoted}."),
        Lang::En => format!("To be written like 09:00: {quoted}."),
    }
}

/// How much can be given back.
#[must_use]
pub fn refund_left(lang: Lang, left: &str) -> String {
    match lang {
        Lang::Fr => format!("Il reste {left} à rembourser."),
        Lang::En => format!("{left} is left to refund."),
    }
}

/// The last question before a case is settled by its payment.
#[must_use]
pub fn case_question(lang: Lang, refund: bool, sum: Option<&str>, who: Option<&str>) -> String {
    let (verb, sum) = match (lang, refund) {
        (Lang::Fr, true) => ("Rembourser", sum.unwrap_or("ce paiement")),
        (Lang::En, true) => ("Refund", sum.unwrap_or("this payment")),
        (Lang::Fr, false) => ("Accepter", sum.unwrap_or("ce paiement")),
        (Lang::En, false) => ("Accept", sum.unwrap_or("this payment")),
    };
    let who = match (lang, refund, who) {
        (_, _, None) => String::new(),
        (Lang::Fr, true, Some(who)) => format!(" à {who}"),
        (Lang::En, true, Some(who)) => format!(" to {who}"),
        (Lang::Fr, false, Some(who)) => format!(" de {who}"),
        (Lang::En, false, Some(who)) => format!(" of {who}"),
    };
    let mark = lang.pick("\u{202f}?", "?");
    format!("{verb} {sum}{who}{mark}")
}

/// The last question before money moves.
#[must_use]
pub fn refund_question(lang: Lang, amount: &str) -> String {
    match lang {
        Lang::Fr => format!("Rembourser {amount}\u{202f}?"),
        Lang::En => format!("Refund {amount}?"),
    }
}

/// What is asked before what somebody holds is released. `more`: that there may be more than that.
#[must_use]
pub fn holds_question(lang: Lang, count: usize, more: bool) -> String {
    match (lang, count, more) {
        (Lang::Fr, 1, _) => "Libérer 1 place non payée\u{202f}?".to_owned(),
        (Lang::En, 1, _) => "Free 1 unpaid seat?".to_owned(),
        (Lang::Fr, count, false) => format!("Libérer {count} places non payées\u{202f}?"),
        (Lang::En, count, false) => format!("Free {count} unpaid seats?"),
        (Lang::Fr, count, true) => format!("Libérer les {count} premières places non payées\u{202f}?"),
        (Lang::En, count, true) => format!("Free the first {count} unpaid seats?"),
    }
}

/// What became of what somebody held.
#[must_use]
pub fn holds_done(lang: Lang, released: usize, kept: usize, more: bool) -> String {
    let (fr, en) = (lang == Lang::Fr, lang == Lang::En);
    let mut text = match released {
        1 if fr => "1 place a été libérée.".to_owned(),
        1 => "1 seat was freed.".to_owned(),
        released if fr => format!("{released} places ont été libérées."),
        released => format!("{released} seats were freed."),
    };
    if kept > 0 {
        text.push_str(&match kept {
            kept if en => format!(" Kept: {kept}, paid meanwhile or not answered for by Stripe."),
            kept => format!(" Gardées\u{a0}: {kept}, payées entre-temps ou sans réponse de Stripe."),
        });
    }
    if more {
        text.push_str(
            lang.pick(" Il peut en rester\u{202f}: recommencez.", " There may be more: do it again."),
        );
    }
    text
}

/// How long something takes.
#[must_use]
pub fn takes(lang: Lang, takes: std::time::Duration) -> String {
    let minutes = takes.as_secs() / 60;
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes}\u{a0}min"),
        (hours, 0) => format!("{hours}\u{a0}h"),
        (hours, minutes) => format!("{hours}\u{a0}h\u{a0}{minutes:02}{}", lang.pick("", "\u{a0}min")),
    }
}

/// A duration in words, with its two largest units.
#[must_use]
pub fn duration(lang: Lang, duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let day = lang.pick("j", "d");
    if days > 0 {
        format!("{days}\u{a0}{day} {hours}\u{a0}h")
    } else if hours > 0 {
        format!("{hours}\u{a0}h {minutes}\u{a0}min")
    } else {
        format!("{minutes}\u{a0}min {}\u{a0}s", seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn french_texts_carry_the_spaces_of_french_typography() {
        let sentences = PAIRS.iter().map(|(name, fr, _)| (*name, *fr));
        for (name, text) in sentences {
            assert_eq!(super::super::format::french(text), text, "{name}");
        }
    }

    #[test]
    fn no_text_is_empty_or_left_in_the_other_language() {
        let alike = ["code", "note", "source", "total", "date", "version", "webhooks_title", "runtime_title"];
        for (name, fr, en) in PAIRS {
            assert!(!fr.trim().is_empty() && !en.trim().is_empty(), "{name}");
            assert!(fr != en || alike.contains(name), "{name}: {fr}");
        }
    }
}
